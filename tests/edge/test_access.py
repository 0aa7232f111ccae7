"""Every route and method of both faces, for every kind of caller: exactly who may, and what the others are told."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from starlette.routing import BaseRoute
from tests.edge.faces import Faces, faces
from tests.edge.who_may import METHODS, ROUTES, WHO, Keys, make_keys
from tests.edge.who_may import expected as expected_of

from fovea_client import AsyncGrpcClient, NotAllowed
from fovea_client.wire import vision_pb2, vision_pb2_grpc
from fovea_server.access import keys
from fovea_server.access.guard import Guard
from fovea_server.access.key_file import KeyFile
from fovea_server.edge import scopes

_PAGES = (
    *("/", "/docs", "/docs/oauth2-redirect", "/openapi.json", "/static-offline-docs/favicon.png"),
    *("/v1/experiments/{name}/report", "/live", "/metrics"),
)


@pytest.fixture
def made(tmp_path: Path) -> tuple[Guard, Keys]:
    """A guard, and the texts of the keys of each kind."""
    texts = make_keys(tmp_path)
    return Guard(KeyFile(tmp_path)), texts


async def test_every_rest_route_lets_in_exactly_who_may(made: tuple[Guard, Keys]) -> None:
    guard, texts = made
    async with faces(guard) as served, httpx.AsyncClient() as client:
        for method, path in ROUTES:
            url = served.rest + path  # whole, for httpx would take `//healthz` for the name of a host
            for who in WHO:
                for header in ({"Authorization": f"Bearer {texts.get(who)}"}, {"X-API-Key": texts.get(who, "")}):
                    answer = await client.request(method, url, headers={} if who == "nobody" else header)
                    expected = expected_of(who, scopes.of_path(path))
                    refused = answer.status_code if answer.status_code in (401, 403) else 200
                    assert refused == expected, (method, path, who)
                    if refused != 200:
                        _assert_refusal(answer, texts)


def _assert_refusal(answer: httpx.Response, texts: Keys) -> None:
    reason = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}[answer.status_code]
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["reason"] == reason
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="fovea"')
    assert not any(text in answer.text for text in texts.values())


async def test_pages_are_opened_by_a_browser_that_asks_for_the_key_and_nothing_else_is(
    made: tuple[Guard, Keys],
) -> None:
    guard, texts = made
    async with faces(guard) as served, httpx.AsyncClient(base_url=served.rest) as client:
        for method, path in ROUTES:
            url, is_page = served.rest + path, method == "GET" and path in _PAGES
            challenges = (await client.request(method, url)).headers.get_list("WWW-Authenticate")
            assert any(one.startswith("Basic ") for one in challenges) == is_page, path
            for who in WHO:
                expected = expected_of(who, scopes.of_path(path)) if is_page else 401
                answer = await client.request(method, url, auth=("whoever", texts.get(who, "")))
                assert (answer.status_code if answer.status_code in (401, 403) else 200) == expected, (path, who)
        assert "the key is the password" in (await client.get("/docs")).json()["detail"]
        assert "the key is the password" not in (await client.get("/v1/models")).json()["detail"]
        for page in ("/docs", "/openapi.json"):
            for odd in ("Basic", "Basic %", "Basic é", "Basic /w==", "Basic " + "A" * 4000):
                answer = await client.get(page, headers={"Authorization": odd.encode()})
                assert (answer.status_code, answer.json()["reason"]) == (401, "UNAUTHENTICATED")


async def test_no_request_that_changes_anything_and_no_other_path_is_opened_so(made: tuple[Guard, Keys]) -> None:
    """What a browser keeps it also sends with what other sites make it ask."""
    guard, texts = made
    async with faces(guard) as served, httpx.AsyncClient(base_url=served.rest) as client:
        key = ("whoever", texts["infer"])
        for path in _PAGES:
            for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
                answer = await client.request(method, path, auth=key)
                assert answer.status_code == 401, (method, path)
                assert answer.headers.get_list("WWW-Authenticate") == ['Bearer realm="fovea"']
        assert (await client.head("/docs", auth=key)).status_code != 401
        for path in ("/v1/features/report", "/v1/experiments/report", "/v1/experiments/a/b/report", "/report"):
            assert (await client.get(path, auth=("whoever", texts["read-log"]))).status_code == 401


async def test_a_key_of_its_own_header_counts_beside_what_a_browser_or_a_proxy_sends(made: tuple[Guard, Keys]) -> None:
    guard, texts = made
    async with faces(guard) as served, httpx.AsyncClient(base_url=served.rest, auth=("proxy", "secret")) as client:
        for path in ("/docs", "/openapi.json", "/v1/models"):
            assert (await client.get(path, headers={"X-API-Key": texts["infer"]})).status_code == 200
            assert (await client.get(path, headers={"X-API-Key": texts["wrong"]})).status_code == 401


async def test_the_openapi_document_says_which_failures_each_path_has(made: tuple[Guard, Keys]) -> None:
    guard, texts = made
    for asks, its_key in ((guard, {"X-API-Key": texts["infer"]}), (None, {})):
        async with faces(asks) as served, httpx.AsyncClient(base_url=served.rest, headers=its_key) as client:
            document = (await client.get("/openapi.json")).json()
            for path, operations in document["paths"].items():
                for operation in operations.values():
                    failures = {int(code): said for code, said in operation["responses"].items() if int(code) >= 400}
                    assert all(list(said["content"]) == ["application/problem+json"] for said in failures.values())
                    assert failures.keys() >= {400, 408, 431, 500, 503}, path
                    keyed = asks is not None and path not in scopes.OPEN_PATHS
                    assert (failures.keys() & {401, 403}) == ({401, 403} if keyed else set()), path
            of_images = document["paths"]["/v1/classify"]["post"]["responses"]
            assert set(of_images["429"]["content"]["application/problem+json"]["examples"]) == {
                *("BUSY", "SHED", "QUOTA_EXCEEDED")
            }
            assert "- `UNDECODABLE`: The image is damaged or incomplete" in of_images["422"]["description"]
            assert "ValidationError" not in document["components"]["schemas"]


async def test_the_openapi_document_says_which_scope_each_path_needs(made: tuple[Guard, Keys]) -> None:
    guard, texts = made
    async with faces(guard) as served, httpx.AsyncClient(base_url=served.rest) as client:
        document = (await client.get("/openapi.json", headers={"X-API-Key": texts["infer"]})).json()
        needed = {path: one["security"] for path, asked in document["paths"].items() for one in asked.values()}
        assert needed["/healthz"] == needed["/readyz"] == []
        assert needed["/metrics"] == [{"bearer": ["admin"]}, {"header": ["admin"]}]
        assert needed["/v1/classify"] == [{"bearer": ["infer"]}, {"header": ["infer"]}]
        assert set(document["components"]["securitySchemes"]) == {"bearer", "header"}
        assert "the button Authorize" in document["info"]["description"]
    async with faces() as served, httpx.AsyncClient(base_url=served.rest) as client:
        document = (await client.get("/openapi.json")).json()
        assert "securitySchemes" not in document["components"]
        assert not any("security" in one for asked in document["paths"].values() for one in asked.values())


@pytest.mark.parametrize("path", sorted(scopes.OPEN_PATHS))
async def test_balancers_need_no_key(made: tuple[Guard, Keys], path: str) -> None:
    guard, _ = made
    async with faces(guard) as served, httpx.AsyncClient(base_url=served.rest) as client:
        assert (await client.get(path)).status_code == 200


async def test_no_route_of_the_application_is_missing_from_the_table() -> None:
    def path_of(route: BaseRoute) -> str:
        return str(route.path)  # type: ignore[attr-defined]

    async with faces() as served:
        assert {path_of(route) for route in served.app.app.routes} == set(scopes.PATHS) | scopes.OPEN_PATHS
        assert {path for _, path in ROUTES} >= set(scopes.PATHS) - {"/static-offline-docs"}


async def _code(call: Awaitable[Any]) -> tuple[grpc.StatusCode, Any]:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code(), error
    return grpc.StatusCode.OK, None


async def test_every_grpc_method_lets_in_exactly_who_may(made: tuple[Guard, Keys]) -> None:
    guard, texts = made
    codes = {401: grpc.StatusCode.UNAUTHENTICATED, 403: grpc.StatusCode.PERMISSION_DENIED}
    async with faces(guard) as served, grpc.aio.insecure_channel(served.grpc) as channel:
        for method, call in METHODS.items():
            for who in WHO:
                text = texts.get(who, "")
                for sent in ((("authorization", f"Bearer {text}"),), (("x-api-key", text),)):
                    code, error = await _code(call(channel, () if who == "nobody" else sent))
                    expected = expected_of(who, keys.Scope.INFER)
                    assert (code if code in codes.values() else 200) == codes.get(expected, 200), (method, who, code)
                    if expected != 200:
                        _assert_status(error, code)


def _assert_status(error: Any, code: grpc.StatusCode) -> None:
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    assert (info.domain, info.reason) == ("fovea", code.name)


async def test_the_asynchronous_client_is_told_why_its_stream_was_refused(made: tuple[Guard, Keys]) -> None:
    """grpc.aio loses one such answer in a hundred."""
    guard, texts = made
    async with faces(guard) as served, AsyncGrpcClient(served.grpc, api_key=texts["wrong"]) as client:
        for _ in range(500):
            with pytest.raises(NotAllowed, match="not known here"):
                _ = [said async for said in client.classify_stream([b"picture"] * 3)]


async def test_health_needs_no_key_and_unknown_services_do(made: tuple[Guard, Keys]) -> None:
    guard, texts = made
    async with faces(guard) as served, grpc.aio.insecure_channel(served.grpc) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        assert (await stub.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
        unknown = channel.unary_unary("/no.such.Service/Method")
        assert (await _code(unknown(b"")))[0] is grpc.StatusCode.UNAUTHENTICATED
        known = unknown(b"", metadata=(("x-api-key", texts["read-log"]),))
        assert (await _code(known))[0] is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("method", ["foo", "", "/", "/grpc.health.v1.Health/../fovea.v1.Vision/ListModels"])
async def test_what_is_no_name_of_a_method_needs_a_key_too(made: tuple[Guard, Keys], method: str) -> None:
    guard, texts = made
    async with faces(guard) as served, grpc.aio.insecure_channel(served.grpc) as channel:
        odd = channel.unary_unary(method)
        assert (await _code(odd(b"")))[0] is grpc.StatusCode.UNAUTHENTICATED
        known = odd(b"", metadata=(("x-api-key", texts["infer"]),))
        assert (await _code(known))[0] is grpc.StatusCode.UNIMPLEMENTED


async def test_every_service_that_is_offered_is_in_the_table(made: tuple[Guard, Keys]) -> None:
    guard, texts = made
    sent = (("x-api-key", texts["infer"]),)
    async with faces(guard) as served, grpc.aio.insecure_channel(served.grpc) as channel:
        said = await METHODS["ServerReflectionInfo"](channel, sent)
    offered = {each.name for each in said.list_services_response.service}
    assert offered == set(scopes.SERVICES) | scopes.OPEN_SERVICES
    assert offered == {"fovea.v1.Vision", health.SERVICE_NAME, reflection.SERVICE_NAME}


async def test_the_service_is_told_who_asks_on_both_faces(made: tuple[Guard, Keys], espresso: bytes) -> None:
    guard, texts = made
    identity, _ = keys.parts(texts["infer"]) or ("", "")
    sent = (("x-api-key", texts["infer"]),)

    def asked(served: Faces) -> tuple[str, float | None]:
        caller, served.service.caller = served.service.caller, type(served.service).caller
        return caller.name, caller.requests_per_second

    async with faces(guard) as served:
        async with httpx.AsyncClient(base_url=served.rest) as client:
            answer = await client.post("/v1/classify", content=espresso, headers=dict(sent))
            assert answer.status_code == 200
            assert asked(served) == (identity, 1000)
        async with grpc.aio.insecure_channel(served.grpc) as channel:
            stub = vision_pb2_grpc.VisionStub(channel)
            await stub.Classify(vision_pb2.ClassifyRequest(image=espresso), metadata=sent)
            assert asked(served) == (identity, 1000)
            stream = stub.ClassifyStream(iter([vision_pb2.ClassifyRequest(image=espresso)]), metadata=sent)
            assert (await stream.read()).WhichOneof("outcome") == "answer"
            assert asked(served) == (identity, 1000)


async def test_a_stream_ends_when_its_key_is_revoked(tmp_path: Path, espresso: bytes) -> None:
    texts = make_keys(tmp_path)
    identity, _ = keys.parts(texts["infer"]) or ("", "")
    request = vision_pb2.ClassifyRequest(image=espresso)
    async with faces(Guard(KeyFile(tmp_path))) as served, grpc.aio.insecure_channel(served.grpc) as channel:
        stream = vision_pb2_grpc.VisionStub(channel).ClassifyStream(metadata=(("x-api-key", texts["infer"]),))
        await stream.write(request)
        assert (await stream.read()).WhichOneof("outcome") == "answer"
        with KeyFile(tmp_path).changed() as kept:
            kept[identity] = dataclasses.replace(kept[identity], revoked=time.time())
        await asyncio.sleep(1.1)  # the guard looks at the file once a second
        await stream.write(request)
        code, error = await _code(stream.read())
        assert code is grpc.StatusCode.UNAUTHENTICATED
        assert "was revoked" in error.details()
        assert served.refusals("UNAUTHENTICATED") == 1


async def test_without_a_guard_nobody_in_particular_asks(espresso: bytes) -> None:
    async with faces() as served, httpx.AsyncClient(base_url=served.rest) as client:
        answer = await client.post("/v1/classify", content=espresso, headers={"X-API-Key": "anything"})
        assert answer.status_code == 200
        assert served.service.caller.name == ""


async def test_no_other_site_may_read_what_a_browser_asks_here() -> None:
    origin = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    async with faces() as served, httpx.AsyncClient(base_url=served.rest) as client:
        for answer in (
            await client.options("/v1/classify", headers=origin),
            await client.post("/v1/classify", headers=origin, content=b"x"),
            await client.get("/v1/models", headers=origin),
        ):
            assert not [name for name in answer.headers if name.lower().startswith("access-control")]
        assert (await client.options("/v1/classify", headers=origin)).status_code == 405
