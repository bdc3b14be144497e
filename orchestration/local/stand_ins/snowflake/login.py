"""Who comes in: users with their keys, by account, role and warehouse."""

import json

import jwt
from fakesnow import server
from fakesnow.instance import FakeSnow
from starlette.requests import Request
from starlette.responses import JSONResponse

from orchestration.local.stand_ins.snowflake.accounts import ACCOUNTS, ADMINISTRATOR, SYSTEM_ROLES, Account
from orchestration.local.stand_ins.snowflake.answers import body_of, route
from orchestration.local.stand_ins.snowflake.documents import functions
from orchestration.local.stand_ins.snowflake.sessions import session_of


def accounts(public_key: str) -> None:
    """Key-pair authentication (user-guide/key-pair-auth): the client signs a token that names account and user.

    An account sees nothing of another one (user-guide/admin-account-identifier); a role that is not there, or is not
    granted to the user, lets nobody in, and one without a warehouse does not get it
    (user-guide/security-access-control-overview); a database that is not there is not made by who connects to it.
    fakesnow lets everybody in, and all accounts are one.
    """
    login = server.login_request

    async def login_request(request: Request) -> JSONResponse:
        data, asked = (await body_of(request))["data"], request.query_params
        name, user = str(data.get("ACCOUNT_NAME", "")).upper(), str(data.get("LOGIN_NAME", "")).upper()
        account = ACCOUNTS.setdefault(name, Account(keys={ADMINISTRATOR: public_key}))
        try:
            if data.get("AUTHENTICATOR") != "SNOWFLAKE_JWT":
                raise jwt.InvalidTokenError
            claims = jwt.decode(data["TOKEN"], account.keys[user], algorithms=["RS256"])
            if claims["sub"] != f"{name}.{user}":
                raise jwt.InvalidTokenError
        except (jwt.InvalidTokenError, KeyError):
            return _rejected("390144", "JWT token is invalid.")
        role, warehouse = asked.get("roleName", "PUBLIC").upper(), asked.get("warehouse", "").upper()
        if ("ROLE", role) not in account.may_use(("USER", user)):
            known = role in SYSTEM_ROLES or ("ROLE", role) in account.objects
            return _rejected(
                "390186" if known else "390189",
                f"Role '{role}' specified in the connect string "
                f"{'is not granted to this user' if known else 'does not exist or not authorized'}. Contact your local "
                "system administrator, or attempt to login with another role, e.g. PUBLIC.",
            )
        if account.databases is None:
            account.databases = FakeSnow(create_database_on_connect=False, create_schema_on_connect=False)
            functions(account.databases.duck_conn)
        server.shared_fs = account.databases
        answer = json.loads((await login(request)).body)
        # The client ends a session only if it has this token, which could renew it.
        answer["data"]["masterToken"] = answer["data"]["token"]
        connection = server.sessions[answer["data"]["token"]]
        state = session_of(connection)
        state.account, state.user, state.role = account, user, role
        state.warehouse = warehouse if ("WAREHOUSE", warehouse) in account.may_use(("ROLE", role)) else None
        return JSONResponse(answer)

    route("/session/v1/login-request", login_request)


def _rejected(code: str, message: str) -> JSONResponse:
    return JSONResponse({"data": None, "code": code, "message": message, "success": False})
