"""`manage.py vapid_keys`: a new key for Web Push."""

from typing import Any

from django.core.management.base import BaseCommand

from delivery.providers import vapid


class Command(BaseCommand):
    """Prints a new private key as a line of .env, and the public key that browsers get. Changes nothing."""

    help = "Print a new key for Web Push. A browser's subscription is worth nothing with another key than its own."

    def handle(self, *arguments: Any, **options: Any) -> None:
        """Two lines."""
        private_key = vapid.generate()
        public_key = vapid.Signer(private_key=private_key, subject="mailto:").public_key
        self.stdout.write(f"VAPID_PRIVATE_KEY={private_key}")
        self.stdout.write(f"# applicationServerKey: {public_key}")
