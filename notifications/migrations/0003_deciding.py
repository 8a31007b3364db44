"""Preferences, digests, templates, schedules: what a decision needs."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.utils import timezone


# What was a Reason by channel becomes a decision by channel, and back.
DECISIONS = """
UPDATE notifications_notification SET decisions = (
    SELECT jsonb_object_agg(key, jsonb_build_object('value', 'off', 'rule', '', 'reason', value))
    FROM jsonb_each_text(decisions))
WHERE decisions <> '{}'
"""
SKIPPED = """
UPDATE notifications_notification SET decisions = coalesce((
    SELECT jsonb_object_agg(key, value->>'reason') FROM jsonb_each(decisions) WHERE value->>'value' = 'off'), '{}')
WHERE decisions <> '{}'
"""


def add_standard(apps, schema_editor):
    apps.get_model("notifications", "PreferenceTemplate").objects.get_or_create(
        name="standard", defaults={"is_default": True, "updated_at": timezone.now()}
    )


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0001_initial'),
        ('django_celery_beat', '0019_alter_periodictasks_options'),
        ('notifications', '0002_tables_and_types'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Digest',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('channel', models.CharField(max_length=20)),
                ('address', models.CharField(max_length=320)),
                ('key', models.CharField(blank=True, max_length=100)),
                ('open', models.BooleanField(default=True, help_text='Takes more items. Closed by the claim of its delivery.')),
                ('opened_at', models.DateTimeField()),
                ('closed_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Layout',
            fields=[
                ('key', models.CharField(max_length=100, primary_key=True, serialize=False)),
                ('source', models.TextField()),
                ('updated_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='NotificationSetting',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('channel', models.CharField(max_length=20)),
                ('value', models.CharField(max_length=10)),
                ('updated_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='Preference',
            fields=[
                ('locale', models.CharField(blank=True, max_length=35)),
                ('timezone', models.CharField(blank=True, max_length=64)),
                ('channels', models.JSONField(blank=True, default=dict, help_text='{"email": false}')),
                ('quiet_hours', models.JSONField(blank=True, help_text='[{"days": [0, 1], "start": "22:00", "end": "07:00"}], 0 is Monday. NULL: inherit.', null=True)),
                ('digests', models.JSONField(blank=True, default=dict, help_text='{"email": {"every": "day", "at": "09:00"}}')),
                ('version', models.PositiveIntegerField(default=1, help_text='Rises with every change: a change must name it.')),
                ('updated_at', models.DateTimeField()),
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, serialize=False, to=settings.AUTH_USER_MODEL)),
                ('muted_until', models.DateTimeField(null=True)),
                ('rev', models.BigIntegerField(default=0, help_text="The person's sequence number at the last change.")),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='PreferenceTemplate',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('locale', models.CharField(blank=True, max_length=35)),
                ('timezone', models.CharField(blank=True, max_length=64)),
                ('channels', models.JSONField(blank=True, default=dict, help_text='{"email": false}')),
                ('quiet_hours', models.JSONField(blank=True, help_text='[{"days": [0, 1], "start": "22:00", "end": "07:00"}], 0 is Monday. NULL: inherit.', null=True)),
                ('digests', models.JSONField(blank=True, default=dict, help_text='{"email": {"every": "day", "at": "09:00"}}')),
                ('version', models.PositiveIntegerField(default=1, help_text='Rises with every change: a change must name it.')),
                ('updated_at', models.DateTimeField()),
                ('name', models.CharField(max_length=100, unique=True)),
                ('is_default', models.BooleanField(default=False, help_text='For people who are not given another.')),
                ('settings', models.JSONField(blank=True, default=dict, help_text='{"category:tasks": {"email": "digest"}}')),
            ],
        ),
        migrations.CreateModel(
            name='Schedule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=200)),
                ('submission', models.JSONField(help_text='The body of POST /events.')),
                ('each_own_zone', models.BooleanField(default=False, help_text="The crontab's time on each recipient's own clock; else in the crontab's time zone.")),
                ('enabled', models.BooleanField(default=True)),
                ('due_at', models.DateTimeField(help_text='The next occurrence; set exactly while it is enabled.', null=True)),
                ('last_at', models.DateTimeField(help_text='The last occurrence that became an event.', null=True)),
                ('error', models.CharField(blank=True, max_length=500)),
                ('created_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='Spending',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('channel', models.CharField(max_length=20)),
                ('hour', models.DateTimeField()),
                ('used', models.PositiveIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name='Template',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('channel', models.CharField(max_length=20)),
                ('locale', models.CharField(help_text='A BCP 47 tag such as de or pt-BR.', max_length=35)),
                ('version', models.PositiveIntegerField()),
                ('current', models.BooleanField(default=True)),
                ('subject', models.CharField(help_text='Liquid; the title of an inbox line.', max_length=500)),
                ('source', models.TextField(help_text='Liquid in MJML for mail, Liquid for other channels.')),
                ('created_at', models.DateTimeField()),
            ],
        ),
        migrations.RemoveConstraint(
            model_name='delivery',
            name='delivery_state_known',
        ),
        migrations.RemoveConstraint(
            model_name='event',
            name='event_state_known',
        ),
        migrations.RemoveConstraint(
            model_name='event',
            name='event_open_rows_are_due',
        ),
        migrations.RenameField(
            model_name='notification',
            old_name='skipped',
            new_name='decisions',
        ),
        migrations.RunSQL(DECISIONS, SKIPPED),
        migrations.AddField(
            model_name='delivery',
            name='rule',
            field=models.CharField(blank=True, help_text='What decided last.', max_length=120),
        ),
        migrations.AddField(
            model_name='event',
            name='digest_key',
            field=models.CharField(blank=True, help_text='Splits digests: one per key.', max_length=100),
        ),
        migrations.AddField(
            model_name='event',
            name='retracted_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='event',
            name='template_data',
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name='event',
            name='zone',
            field=models.CharField(blank=True, help_text='Only people whose clock is in this time zone.', max_length=64),
        ),
        migrations.AddField(
            model_name='notification',
            name='body',
            field=models.TextField(null=True),
        ),
        migrations.AddField(
            model_name='inboxhead',
            name='choices',
            field=models.BigIntegerField(default=0),
        ),
        migrations.AlterField(
            model_name='notification',
            name='decisions',
            field=models.JSONField(default=dict, help_text='By channel: on, off or digest, the rule that said so, the Reason.'),
        ),
        migrations.AddField(
            model_name='notification',
            name='title',
            field=models.CharField(max_length=200, null=True),
        ),
        migrations.AddField(
            model_name='type',
            name='not_allowed',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=20), blank=True, default=list, size=None),
        ),
        migrations.AddField(
            model_name='type',
            name='required',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=20), blank=True, default=list, size=None),
        ),
        migrations.AddField(
            model_name='type',
            name='sample',
            field=models.JSONField(blank=True, default=dict, help_text='An example of `template_data`: it says which variables templates may use.'),
        ),
        migrations.AlterField(
            model_name='delivery',
            name='notification',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, to='notifications.notification'),
        ),
        migrations.AlterField(
            model_name='event',
            name='channels',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=20), help_text='NULL: those of the type.', null=True, size=None),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(condition=models.Q(('object', ''), _negated=True), fields=['object'], name='event_by_object'),
        ),
        migrations.AddConstraint(
            model_name='event',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['accepted', 'processing', 'retracting', 'processed', 'cancelled', 'retracted', 'failed'])), name='event_state_known'),
        ),
        migrations.AddConstraint(
            model_name='event',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('due_at__isnull', False), ('state__in', ['accepted', 'processing', 'retracting'])), models.Q(models.Q(('state__in', ['accepted', 'processing', 'retracting']), _negated=True), ('due_at__isnull', True)), _connector='OR'), name='event_open_rows_are_due'),
        ),
        migrations.AddConstraint(
            model_name='type',
            constraint=models.CheckConstraint(condition=models.Q(('required__overlap', models.F('not_allowed')), _negated=True), name='type_required_is_allowed'),
        ),
        migrations.AddField(
            model_name='digest',
            name='category',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='notifications.category'),
        ),
        migrations.AddField(
            model_name='digest',
            name='user',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='delivery',
            name='digest',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, to='notifications.digest'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('digest__isnull', False)), fields=['digest'], name='delivery_of_digest'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.UniqueConstraint(condition=models.Q(('notification__isnull', True)), fields=('digest',), name='delivery_one_carries_a_digest'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.CheckConstraint(condition=models.Q(('notification__isnull', False), ('digest__isnull', False), _connector='OR'), name='delivery_is_of_something'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.CheckConstraint(condition=models.Q(('notification__isnull', True), ('digest__isnull', True), models.Q(('state', 'pending'), _negated=True), _connector='OR'), name='delivery_in_a_digest_has_ended'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['pending', 'sent', 'failed', 'digested', 'suppressed', 'cancelled', 'unknown'])), name='delivery_state_known'),
        ),
        migrations.AddField(
            model_name='notificationsetting',
            name='category',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, to='notifications.category'),
        ),
        migrations.AddField(
            model_name='notificationsetting',
            name='topic',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, to='notifications.topic'),
        ),
        migrations.AddField(
            model_name='notificationsetting',
            name='type',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, to='notifications.type'),
        ),
        migrations.AddField(
            model_name='notificationsetting',
            name='user',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddConstraint(
            model_name='preferencetemplate',
            constraint=models.UniqueConstraint(condition=models.Q(('is_default', True)), fields=('is_default',), name='preference_template_one_default'),
        ),
        migrations.AddField(
            model_name='preference',
            name='template',
            field=models.ForeignKey(help_text='NULL: the default one.', null=True, on_delete=django.db.models.deletion.PROTECT, to='notifications.preferencetemplate'),
        ),
        migrations.AddField(
            model_name='schedule',
            name='crontab',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to='django_celery_beat.crontabschedule'),
        ),
        migrations.AddField(
            model_name='schedule',
            name='interval',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to='django_celery_beat.intervalschedule'),
        ),
        migrations.AddField(
            model_name='schedule',
            name='producer',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='spending',
            name='user',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='template',
            name='created_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='template',
            name='layout',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to='notifications.layout'),
        ),
        migrations.AddField(
            model_name='template',
            name='type',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to='notifications.type'),
        ),
        migrations.AddConstraint(
            model_name='digest',
            constraint=models.UniqueConstraint(condition=models.Q(('open', True)), fields=('user', 'channel', 'address', 'category', 'key'), name='digest_one_open_window'),
        ),
        migrations.AddConstraint(
            model_name='digest',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('closed_at__isnull', True), ('open', True)), models.Q(('closed_at__isnull', False), ('open', False)), _connector='OR'), name='digest_closed_at_its_close'),
        ),
        migrations.AddConstraint(
            model_name='notificationsetting',
            constraint=models.UniqueConstraint(fields=('user', 'category', 'channel'), name='setting_once_per_category'),
        ),
        migrations.AddConstraint(
            model_name='notificationsetting',
            constraint=models.UniqueConstraint(fields=('user', 'type', 'channel'), name='setting_once_per_type'),
        ),
        migrations.AddConstraint(
            model_name='notificationsetting',
            constraint=models.UniqueConstraint(fields=('user', 'topic', 'channel'), name='setting_once_per_topic'),
        ),
        migrations.AddConstraint(
            model_name='notificationsetting',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('category__isnull', False), ('topic__isnull', True), ('type__isnull', True)), models.Q(('category__isnull', True), ('topic__isnull', True), ('type__isnull', False)), models.Q(('category__isnull', True), ('topic__isnull', False), ('type__isnull', True)), _connector='OR'), name='setting_of_one_thing'),
        ),
        migrations.AddConstraint(
            model_name='notificationsetting',
            constraint=models.CheckConstraint(condition=models.Q(('value__in', ['on', 'off', 'digest'])), name='setting_value_known'),
        ),
        migrations.AddConstraint(
            model_name='notificationsetting',
            constraint=models.CheckConstraint(condition=models.Q(('channel', 'in_app'), ('value', 'digest'), _negated=True), name='setting_no_digest_in_app'),
        ),
        migrations.AddIndex(
            model_name='schedule',
            index=models.Index(condition=models.Q(('due_at__isnull', False)), fields=['due_at'], name='schedule_due'),
        ),
        migrations.AddConstraint(
            model_name='schedule',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('crontab__isnull', False), ('interval__isnull', True)), models.Q(('crontab__isnull', True), ('interval__isnull', False)), _connector='OR'), name='schedule_one_of_two'),
        ),
        migrations.AddConstraint(
            model_name='schedule',
            constraint=models.CheckConstraint(condition=models.Q(('each_own_zone', False), ('crontab__isnull', False), _connector='OR'), name='schedule_own_zone_needs_a_crontab'),
        ),
        migrations.AddConstraint(
            model_name='schedule',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('due_at__isnull', False), ('enabled', True)), models.Q(('due_at__isnull', True), ('enabled', False)), _connector='OR'), name='schedule_enabled_ones_are_due'),
        ),
        migrations.AddConstraint(
            model_name='spending',
            constraint=models.UniqueConstraint(fields=('user', 'channel'), name='spending_once'),
        ),
        migrations.AddConstraint(
            model_name='template',
            constraint=models.UniqueConstraint(fields=('type', 'channel', 'locale', 'version'), name='template_version_once'),
        ),
        migrations.AddConstraint(
            model_name='template',
            constraint=models.UniqueConstraint(condition=models.Q(('current', True)), fields=('type', 'channel', 'locale'), name='template_one_current'),
        ),
        migrations.RunPython(add_standard, migrations.RunPython.noop),
    ]
