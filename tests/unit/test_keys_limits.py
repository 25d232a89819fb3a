"""Token buckets, and whose they are."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from psycopg.conninfo import conninfo_to_dict

from service.access.addresses import Addresses, names_this_machine
from service.access.limits import Bucket, Buckets, Limit, rate_limit_key
from service.errors import RateLimitedError, SettingsError
from service.settings import Settings


def taken(limit: Limit, bucket: Bucket, now: float, most: int = 10_000) -> int:
    for count in range(most):
        try:
            limit.take(bucket, now)
        except RateLimitedError:
            return count
    return most


def test_a_bucket_holds_five_seconds_worth_and_fills_at_its_rate():
    limit, bucket = Limit("key", 8), Bucket()
    assert taken(limit, bucket, 100.0) == 40
    assert taken(limit, Bucket(), 100.0) == 40, "every caller has its own"
    assert taken(limit, bucket, 101.0) == 8
    assert taken(limit, bucket, 101.05) == 0
    assert taken(limit, bucket, 1000.0) == 40


def test_less_than_one_request_in_five_seconds_is_a_limit_too():
    limit, bucket = Limit("key", 0.1), Bucket()
    assert taken(limit, bucket, 100.0) == 1
    with pytest.raises(RateLimitedError) as refused:
        limit.take(bucket, 101.0)
    assert refused.value.headers["Retry-After"] == "9"
    assert refused.value.headers["RateLimit-Policy"] == '"key";q=1;w=10'
    assert taken(limit, bucket, 110.0) == 1


def test_a_refusal_says_when_to_come_back_in_the_standard_fields():
    limit, bucket = Limit("address", 0.5), Bucket()
    assert taken(limit, bucket, 0.0) == 2
    with pytest.raises(RateLimitedError, match="one address") as refused:
        limit.take(bucket, 0.0)
    assert refused.value.headers == {
        "Retry-After": "1",
        "RateLimit-Policy": '"address";q=2;w=5',
        "RateLimit": '"address";r=0;t=1',
    }
    limit.take(bucket, 1.0)


def test_the_table_is_bounded_and_forgets_who_was_silent_longest():
    buckets = Buckets(most=3)
    seen = {name: buckets.of(name) for name in ("a", "b", "c", "a", "d")}
    assert [buckets.of(name) is seen[name] for name in ("c", "a", "d", "b")] == [True, True, True, False]


def test_a_fine_empties_a_bucket_at_the_most():
    limit, bucket = Limit("address", 1), Bucket()
    limit.take(bucket, 100.0)
    limit.penalize(bucket, 10**9, 100.0)
    assert taken(limit, bucket, 100.0) == 0
    assert taken(limit, bucket, 103.0) == 3
    assert taken(limit, bucket, 110.0) == 5


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("127.0.0.1", None),
        ("::1", None),
        ("::ffff:127.0.0.1", None),
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("somewhere", "somewhere"),
    ],
)
def test_addresses_are_counted_by_who_holds_them(address, name):
    assert rate_limit_key(address) == name


TRUSTED = [ip_network("10.0.0.0/8"), ip_network("::1/128")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", ["1.2.3.4"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4, 10.9.9.9"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["10.2.2.2, 10.3.3.3"], "10.2.2.2"),
        ("::1", ["2001:db8::7"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["1.2.3.4:4711"], "1.2.3.4"),
        ("10.0.0.1", ["[2001:db8::7]:80"], "2001:db8::7"),
        ("10.0.0.1", [" , ,"], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "unknown"),
    ],
)
def test_only_trusted_proxies_are_believed(peer, forwarded, client):
    headers = [(b"host", b"x"), *((b"x-forwarded-for", value.encode()) for value in forwarded)]
    assert Addresses(TRUSTED).of({"client": (peer, 1), "headers": headers}) == client
    assert Addresses([]).of({"client": (peer, 1), "headers": headers}) == peer


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("AUTH", "yes"),
        ("BATTERY_TEMP_WARNING", "nan"),
        ("EFFICIENCY_WARNING_THRESHOLD", "NaN"),
        ("VOLTAGE_MAX", "inf"),
        ("REQUEST_TIMEOUT_SECONDS", "nan"),
        ("DATABASE_URL", "garbage"),
        ("DATABASE_READ_URL", "postgres//reader:secret@db/fleet"),
        ("METRICS_OPEN", "1"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "proxy.example.com"),
        ("CORS_ORIGINS", "dash.example.com"),
        ("CORS_ORIGINS", "https://dash.example.com/app"),
        ("KEY_RATE_LIMIT", "0"),
        ("ADDRESS_RATE_LIMIT", "many"),
    ],
)
def test_a_wrong_setting_is_named(variable, text):
    with pytest.raises(SettingsError, match=variable) as refused:
        Settings.from_environment({variable: text})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("host", ["db.example.com", "::1", "/run/postgresql"])
def test_a_database_host_may_be_a_name_an_address_or_a_folder(host):
    url = Settings.from_environment({"DB_HOST": host, "DB_PASSWORD": "a/b@c"}).given_database_url()
    parts = conninfo_to_dict(url)
    assert (parts["host"], parts["port"], parts["password"]) == (host, "5432", "a/b@c")


def test_lists_are_read():
    settings = Settings.from_environment(
        {"TRUSTED_PROXIES": "10.0.0.0/8, ::1", "CORS_ORIGINS": "https://a.example, http://b.example:8080"}
    )
    assert list(settings.trusted_proxies) == TRUSTED
    assert settings.cors_origins == ("https://a.example", "http://b.example:8080")


@pytest.mark.parametrize(
    ("host", "local"),
    [
        (b"localhost", True),
        (b"LocalHost:3000", True),
        (b"grafana.localhost:3001", True),
        (b"127.0.0.1:3000", True),
        (b"127.3.2.1", True),
        (b"[::1]:3000", True),
        (b"evil.example:3000", False),
        (b"localhost.evil.example", False),
        (b"127.0.0.1.evil.example", False),
        (b"192.168.1.7", False),
        (b"\xff\xfe", False),
        (b"", False),
    ],
)
def test_only_names_that_no_web_page_can_have_name_this_machine(host, local):
    assert names_this_machine(host) == local
