/** An address people may follow: http(s), or a path of this site. Anything else could be a script or a trap. */
export function safeLink(text) {
  if (!text || !URL.canParse(text, location.origin)) return null;
  const { href, origin } = new URL(text, location.origin);
  const allowed = text.startsWith("/") ? origin === location.origin : /^https?:\/\//i.test(text);
  return allowed ? href : null;
}
