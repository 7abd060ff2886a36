"""Reject codes of files and of record texts: stable names that `ops.rejected_records` shows and
`docs/inputs.md` explains.

The codes of rules are defined with the rules, in `rules.py` and in the modules of the sources.
"""

from typing import Final

# The whole file is refused.
EMPTY_FILE: Final = "empty_file"
UNREADABLE_FILE: Final = "unreadable_file"
UNSUPPORTED_FILE: Final = "unsupported_file"
NOT_WHAT_ITS_NAME_SAYS: Final = "not_what_its_name_says"
NOT_A_FILE: Final = "not_a_file"
OUTSIDE_THE_LANDING_AREA: Final = "outside_the_landing_area"
DECOMPRESSION_BOMB: Final = "decompression_bomb"
MISSING_COLUMN: Final = "missing_column"
UNKNOWN_COLUMN: Final = "unknown_column"
DUPLICATE_COLUMN: Final = "duplicate_column"
TOO_MANY_COLUMNS: Final = "too_many_columns"
WRONG_COLUMN_TYPE: Final = "wrong_column_type"
UNKNOWN_REPORT_TYPE: Final = "unknown_report_type"
UNKNOWN_REPORT_VERSION: Final = "unknown_report_version"
NOT_A_REPORT: Final = "not_a_report"
UNKNOWN_TIME_ZONE: Final = "unknown_time_zone"
NOT_A_BILL: Final = "not_a_bill"

# The text of a record is refused.
INVALID_UTF8: Final = "invalid_utf8"
RECORD_TOO_LONG: Final = "record_too_long"
BAD_QUOTING: Final = "bad_quoting"
TOO_MANY_FIELDS: Final = "too_many_fields"
TOO_FEW_FIELDS: Final = "too_few_fields"
INVALID_JSON: Final = "invalid_json"
NOT_AN_OBJECT: Final = "not_an_object"
DUPLICATE_FIELD: Final = "duplicate_field"
PAGE_TOO_LONG: Final = "page_too_long"
WITHOUT_RESULTS: Final = "without_results"

# What a bill states is not possible.
BAD_PERIOD: Final = "bad_period"
PERIOD_TOO_LONG: Final = "period_too_long"
UNKNOWN_CATEGORY: Final = "unknown_category"
UNKNOWN_SCOPE: Final = "unknown_scope"

# A column of a mapped source must be JSON.
BAD_JSON: Final = "bad_json"

# A record waits for the entry that states its user.
UNKNOWN_GRANT: Final = "unknown_grant"

# A record is beyond a limit that a setting changes.
UNKNOWN_CURRENCY: Final = "unknown_currency"
