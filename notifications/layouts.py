"""What stands around the text of every mail that names it. The only writer of Layout."""

from datetime import datetime

from django.db import transaction

from core.errors import Invalid
from notifications import catalog, templates
from notifications.models import Layout, Template, Type
from notifications.rendering import EMAIL, Source


def save(key: str, *, source: str, now: datetime, new: bool = False) -> Layout:
    """
    Store a layout if everything that stands in it still can be used. Raises Invalid; AlreadyThere when it has to
    be `new` and is not.
    """
    alone = Source(EMAIL, "en", "x", "<mj-section><mj-column><mj-text>x</mj-text></mj-column></mj-section>", source)
    if why := templates.problem(alone, type=Type(key="", category_id="")):
        raise Invalid("The body is not valid: see details.", source=[why])
    with transaction.atomic():
        if new:
            catalog.create(Layout(key=key, source=source, updated_at=now))
        row, _made = Layout.objects.select_for_update(no_key=True).update_or_create(
            pk=key, defaults={"source": source, "updated_at": now}
        )
        if broken := [
            f"{one}: {why}" for one, why in templates.problems(Template.objects.filter(layout=row, current=True))
        ]:
            raise Invalid("The body is not valid: see details.", source=broken)
    return row


def put(key: str, *, source: str, now: datetime) -> None:
    """Store a layout unseen: for an import, which looks at everything when all of it is there."""
    Layout.objects.update_or_create(pk=key, defaults={"source": source, "updated_at": now})


def delete(row: Layout) -> None:
    """Delete a layout that no template names. Raises InUse with the count."""
    with transaction.atomic():
        Layout.objects.select_for_update().filter(pk=row.pk).first()
        if uses := Template.objects.filter(layout=row).count():
            raise catalog.InUse(templates=uses)
        row.delete()
