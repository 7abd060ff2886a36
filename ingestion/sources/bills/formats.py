"""All formats of the folder `bills/`."""

from typing import Final

from ingestion.readers.layout import UnreadableFileError
from ingestion.sources.bills.anthropic import ANTHROPIC_COSTS
from ingestion.sources.bills.bill_format import BillFormat
from ingestion.sources.bills.configuration import MODELS, PROVIDERS, SCOPE
from ingestion.sources.bills.focus import FOCUS
from ingestion.sources.bills.invoices import INVOICES
from ingestion.sources.bills.openai import OPENAI_COSTS
from ingestion.sources.bills.openrouter import OPENROUTER_ACTIVITY
from ingestion.validation import reject_codes

BILL_FORMATS: Final[tuple[BillFormat, ...]] = (
    OPENAI_COSTS,
    ANTHROPIC_COSTS,
    OPENROUTER_ACTIVITY,
    FOCUS,
    INVOICES,
    SCOPE,
    MODELS,
    PROVIDERS,
)

NOT_A_BILL: Final = UnreadableFileError(
    reject_codes.NOT_A_BILL,
    "it is a gateway's own estimate (every row has one name as provider, publisher and invoice issuer, and"
    " counts requests), not what a provider billed; land the provider's bill instead",
)
