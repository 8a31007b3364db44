"""The beat table: what runs every so often, one line with its reason. Each may run twice at once."""

from celery.schedules import schedule

from core.celery import app

app.conf.beat_schedule = {
    # The second, slower look at what is due, in case no dispatcher runs. Expires before the next one comes.
    "sweep": {"task": "workers.sweep", "schedule": schedule(10.0), "options": {"queue": "normal", "expires": 9.0}},
}
