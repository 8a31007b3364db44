"""The three task types, and what the tables that change all the time need from PostgreSQL."""

from django.db import migrations

TYPES = {
    "task.assigned": "A task was assigned to you",
    "task.updated": "A task was updated",
    "task.completed": "A task was completed",
}


def add_types(apps, schema_editor):
    category, _ = apps.get_model("notifications", "Category").objects.get_or_create(
        key="tasks", defaults={"name": "Tasks"}
    )
    for key, title in TYPES.items():
        apps.get_model("notifications", "Type").objects.get_or_create(
            key=key,
            defaults={"category": category, "title": title, "priority": "normal", "channels": ["in_app", "email"]},
        )


def remove_types(apps, schema_editor):
    apps.get_model("notifications", "Type").objects.filter(key__in=TYPES).delete()
    apps.get_model("notifications", "Category").objects.filter(key="tasks").delete()


# Room in each page keeps updates of unindexed columns in place (HOT); claims scan past dead rows, so
# vacuum comes early. https://www.postgresql.org/docs/current/storage-hot.html
TUNE = """
ALTER TABLE notifications_inboxhead SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE notifications_event SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01);
ALTER TABLE notifications_delivery SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01);
ALTER TABLE notifications_notification SET (autovacuum_vacuum_scale_factor = 0.02);
"""
UNTUNE = """
ALTER TABLE notifications_inboxhead RESET (fillfactor, autovacuum_vacuum_scale_factor);
ALTER TABLE notifications_event RESET (fillfactor, autovacuum_vacuum_scale_factor);
ALTER TABLE notifications_delivery RESET (fillfactor, autovacuum_vacuum_scale_factor);
ALTER TABLE notifications_notification RESET (autovacuum_vacuum_scale_factor);
"""


class Migration(migrations.Migration):
    dependencies = [("notifications", "0001_initial")]
    operations = [
        migrations.RunPython(add_types, remove_types),
        migrations.RunSQL(TUNE, UNTUNE),
    ]
