"""Why a record or a file is rejected: stable codes that `ops.rejected_records` shows and `docs/inputs.md` explains."""

from typing import Final

# files
EMPTY_FILE: Final = "empty_file"
UNREADABLE_FILE: Final = "unreadable_file"
UNSUPPORTED_FILE: Final = "unsupported_file"
NOT_WHAT_ITS_NAME_SAYS: Final = "not_what_its_name_says"
MISSING_COLUMN: Final = "missing_column"
DUPLICATE_COLUMN: Final = "duplicate_column"
WRONG_COLUMN_TYPE: Final = "wrong_column_type"

# the text of a record
INVALID_UTF8: Final = "invalid_utf8"
RECORD_TOO_LONG: Final = "record_too_long"
INVALID_JSON: Final = "invalid_json"
NOT_AN_OBJECT: Final = "not_an_object"
DUPLICATE_FIELD: Final = "duplicate_field"
BAD_QUOTING: Final = "bad_quoting"
TOO_MANY_FIELDS: Final = "too_many_fields"
TOO_FEW_FIELDS: Final = "too_few_fields"

# fields
MISSING_FIELD: Final = "missing_field"
WRONG_TYPE: Final = "wrong_type"
TEXT_TOO_LONG: Final = "text_too_long"
UNKNOWN_TYPE: Final = "unknown_type"
UNKNOWN_STATUS: Final = "unknown_status"
TIME_WITHOUT_OFFSET: Final = "time_without_offset"
BAD_TIME: Final = "bad_time"
TIME_OUT_OF_RANGE: Final = "time_out_of_range"
BAD_DATE: Final = "bad_date"
BAD_AMOUNT: Final = "bad_amount"
NEGATIVE_AMOUNT: Final = "negative_amount"
AMOUNT_TOO_LARGE: Final = "amount_too_large"
TOO_MANY_DECIMALS: Final = "too_many_decimals"
BAD_COUNT: Final = "bad_count"
NEGATIVE_COUNT: Final = "negative_count"
BAD_CURRENCY: Final = "bad_currency"
BAD_METADATA: Final = "bad_metadata"
METADATA_TOO_LARGE: Final = "metadata_too_large"
