"""Who calls the naive API."""

from rest_framework.authentication import TokenAuthentication


class BearerAuthentication(TokenAuthentication):
    """The stock one with Bellhop's keyword, so that one client serves both."""

    keyword = "Bearer"
