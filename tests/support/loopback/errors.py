"""Errors as Stripe words them, in the JSON that the SDK turns into its exceptions."""

from collections.abc import Mapping

from starlette.responses import JSONResponse


class ApiError(Exception):
    """An answer that is no success; `kind` is Stripe's `type`."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        fields = {"type": kind, "message": message, "code": code, "param": param}
        self.body = {"error": {name: value for name, value in fields.items() if value is not None}}

    def response(self) -> JSONResponse:
        """The answer that is sent."""
        return JSONResponse(self.body, self.status, headers=self.headers)


def missing_resource(kind: str, wanted: str, *, status: int = 404, param: str = "id") -> ApiError:
    """An id that names nothing; as the cursor of a list it is a fault of the request (400)."""
    return ApiError(status, f"No such {kind}: '{wanted}'", code="resource_missing", param=param)


def missing_parameter(name: str) -> ApiError:
    """A required parameter that was not sent."""
    return ApiError(400, f"Missing required param: {name}.", code="parameter_missing", param=name)


def unknown_parameter(name: str) -> ApiError:
    """A parameter that the endpoint does not know."""
    return ApiError(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)


def as_integer(value: object, name: str) -> int:
    """An integer of a query or form, where all is text."""
    try:
        return int(str(value))
    except ValueError:
        raise ApiError(
            400, f"Invalid integer: {value}", code="parameter_invalid_integer", param=name
        ) from None
