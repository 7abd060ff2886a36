"""The check of a new token's scope against the published file: a typing error must not go unnoticed."""

from exports.server.descriptions import visible_datasets
from exports.server.publications import Publication
from exports.server.tokens import USER_PREFIX, Token, TokenError
from paywall_warehouse.settings import Settings
from warehouse.current_publication import identity_of


def check_scope(settings: Settings, token: Token) -> list[str] | None:
    """Return the datasets that a token may see; None if nothing has been published, so that nobody knows.

    Raises `TokenError` if it names columns that no dataset has, or sees nothing, and `NotPublishedError`.
    """
    file = settings.home.published_file
    if (identity := identity_of(file)) is None:
        return None
    publication = Publication(file, identity, settings.duckdb_config())
    tables = {
        name: table
        for name, table in publication.tables.items()
        if token.datasets is None or name in token.datasets
    }
    columns = {column.name: column for table in tables.values() for column in table.columns}
    if unknown := [name for name in token.columns or () if name not in columns]:
        raise TokenError(
            f"--columns: none of the datasets has the column {unknown[0]!r}; allowed:"
            f" {', '.join(sorted(columns))}"
        )
    texts = sorted(name for name, column in columns.items() if column.type == "VARCHAR")
    if unknown := [name for name, _ in token.where if name not in texts]:
        raise TokenError(
            f"--where: none of the datasets has the text column {unknown[0]!r}; allowed: {USER_PREFIX},"
            f" {', '.join(texts)}"
        )
    visible = list(visible_datasets(publication, token))
    if not visible:
        raise TokenError(
            "the token would see nothing: no dataset has all columns of its --where, a visible column, and,"
            f" for {USER_PREFIX}, a column with the user"
        )
    return visible
