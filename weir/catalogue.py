"""What the configuration says of models and routes, for verbs."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from contracts.reporting import Surroundings
from ledger.prices import PricesUnknown
from ledger.reports.catalogue import Catalogue
from router import surroundings
from router.config.load import Loaded


def catalogue_of(loaded: Loaded) -> Catalogue:
    """Raises click.ClickException where prices cannot be told."""
    try:
        return surroundings.catalogue_of(loaded)
    except PricesUnknown as error:
        raise click.ClickException(str(error)) from error


def surroundings_of(loaded: Loaded) -> Surroundings:
    """As of today. Raises as above."""
    try:
        return surroundings.surroundings_of(loaded, datetime.now(UTC).date())
    except PricesUnknown as error:
        raise click.ClickException(str(error)) from error
