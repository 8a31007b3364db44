"""Users in the admin."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from unfold.admin import ModelAdmin

from core.models import User


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[misc, type-arg]
    list_display = ("username", "email", "is_active", "is_staff", "is_producer")
    fieldsets = (*(DjangoUserAdmin.fieldsets or ()), ("Bellhop", {"fields": ("is_producer",)}))
