"""What users write: sizes, rates, zones, and requests that make sense or not."""

import math

import pytest

from maevid.errors import UsageError
from maevid.rate import RateRequest, Zone, format_rate, format_size, parse_rate, parse_size, parse_zone


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("600k", 600e3), ("2M", 2e6), ("1.5G", 1.5e9), ("64000", 64000), (" 2m ", 2e6), (".5M", 5e5),
        ("800kb/s", 8e5), ("2 Mbps", 2e6), ("900bps", 900), ("3.k", 3000),
    ],
)  # fmt: skip
def test_rates(text, value):
    assert parse_rate(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("20M", 20_000_000), ("20MB", 20_000_000), ("700kB", 700_000), ("1.5G", 1_500_000_000), ("512B", 512),
     ("1.0005k", 1000), ("0.2", 1)],
)  # fmt: skip
def test_sizes(text, value):
    assert parse_size(text) == value


@pytest.mark.parametrize(
    "text", ["", "k", "2T", "-1M", "0", "2MM", "1e6", "inf", "nan", "2 M 3", "1,5M", "B"]
)
def test_nonsense_is_refused_in_one_line(text):
    for parse in (parse_rate, parse_size):
        with pytest.raises(UsageError, match="such as") as caught:
            parse(text)
        assert repr(text) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_rate_is_not_a_size_and_the_other_way_round():
    with pytest.raises(UsageError, match="size"):
        parse_size("2Mbps")
    with pytest.raises(UsageError, match="bit rate"):
        parse_rate("20MB")


def test_formats():
    assert [format_rate(v) for v in (12, 83_210, 2_050_000, 3e9)] == [
        "12 b/s", "83.21 kb/s", "2.05 Mb/s", "3 Gb/s",
    ]  # fmt: skip
    assert [format_size(v) for v in (12, 700_000, 20e6, 1e9)] == ["12 B", "700 kB", "20 MB", "1 GB"]


def test_zones():
    assert parse_zone("0-99:quality=60") == Zone(0, 99, "quality", 60)
    assert parse_zone(" 100-end:lam=0.01 ") == Zone(100, None, "lam", 0.01)
    zone = parse_zone("50-74:factor=2")
    assert zone == Zone(50, 74, "factor", 2)
    assert [zone.holds(i) for i in (49, 50, 74, 75)] == [False, True, True, False]
    assert Zone(3, None, "lam", 1).holds(10**6)
    assert not Zone(3, None, "lam", 1).holds(2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0-99", "write START-END"), ("0-99:q=60", "write START-END"), ("5:quality=2", "write START-END"),
        ("0-9:quality=x", "write START-END"), ("0-9:lam=nan", "write START-END"),
        ("9-3:quality=60", "ends before"), ("0-9:quality=101", "0 to 100"), ("0-9:quality=-1", "0 to 100"),
        ("0-9:lam=0", "lam must be positive"), ("0-9:factor=-2", "factor must be positive"),
    ],
)  # fmt: skip
def test_bad_zones(text, says):
    with pytest.raises(UsageError, match=says):
        parse_zone(text)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (RateRequest(quality=50, bitrate=1e6), "--quality and --bitrate exclude each other"),
        (RateRequest(size=0), "--size must be positive"),
        (RateRequest(bitrate=-1), "--bitrate must be positive"),
        (RateRequest(bitrate=math.inf), "--bitrate must be positive"),
        (RateRequest(psnr=math.nan), "--psnr must be positive"),
        (RateRequest(maxrate=-1), "--maxrate must be positive"),
        (RateRequest(maxrate=1e6, bufsize=0), "--bufsize must be positive"),
        (RateRequest(lam_min=0), "--lam-min must be positive"),
        (RateRequest(lam_max=math.inf), "--lam-max must be positive"),
        (RateRequest(quality=101), "0 to 100"),
        (RateRequest(quality=-0.1), "0 to 100"),
        (RateRequest(bitrate=1e6, smooth=1.1), "--smooth"),
        (RateRequest(bitrate=1e6, smooth=-0.1), "--smooth"),
        (RateRequest(bitrate=1e6, passes=3), "1 or 2"),
        (RateRequest(size=1000, passes=1), "--size needs two passes"),
        (RateRequest(psnr=38, passes=1), "--psnr needs two passes"),
        (RateRequest(frame_bytes=100, passes=2), "one pass"),
        (RateRequest(bitrate=1e6, passes=1, smooth=0.5), "--smooth needs"),
        (RateRequest(quality=50, passes=2, smooth=0.5), "--smooth needs"),
        (RateRequest(bitrate=1e6, bufsize=1e6), "--bufsize needs --maxrate"),
        (RateRequest(bitrate=2e6, maxrate=1e6), "lies below the bitrate"),
        (RateRequest(lam_min=2, lam_max=1), "--lam-max lies below"),
        (RateRequest(zones=(Zone(0, 9, "lam", 1), Zone(9, 12, "lam", 1))), "cover frame 9"),
        (RateRequest(zones=(Zone(20, 30, "lam", 1), Zone(0, None, "lam", 1))), "cover frame 20"),
    ],
)
def test_senseless_requests(request_, says):
    with pytest.raises(UsageError, match=says):
        request_.validate()


def test_sensible_requests_pass():
    for request in (
        RateRequest(),
        RateRequest(quality=0),
        RateRequest(quality=100),
        RateRequest(bitrate=1e6, maxrate=1e6, bufsize=5e5, smooth=1.0, lam_min=0.1, lam_max=0.1),
        RateRequest(zones=(Zone(10, None, "lam", 1), Zone(0, 9, "lam", 1))),
        RateRequest(frame_bytes=100, passes=1),
    ):
        request.validate()


def test_what_a_request_implies():
    assert RateRequest().mode == "quality"
    assert RateRequest(lam=1).mode == "quality"
    assert RateRequest(frame_bytes=1).mode == "frame-bytes"
    assert not RateRequest().two_pass
    assert not RateRequest(frame_bytes=1, maxrate=1).two_pass
    assert RateRequest(quality=1, maxrate=1).two_pass
    assert RateRequest(bitrate=1).two_pass
    assert not RateRequest(bitrate=1, passes=1).two_pass
    assert RateRequest(quality=5, passes=2).two_pass
    assert RateRequest(psnr=38).needs_psnr
    assert RateRequest(bitrate=1, smooth=0.5).needs_psnr
    assert not RateRequest(bitrate=1).needs_psnr
    assert RateRequest(maxrate=8e6).buffer_bits == 8e6
    assert RateRequest(maxrate=8e6, bufsize=1e6).buffer_bits == 1e6
    assert RateRequest().buffer_bits is None
    assert RateRequest(maxrate=8e6).notes() == ["--maxrate without --bufsize: a buffer of one second (1 MB)"]
    assert RateRequest(maxrate=8e6, bufsize=1e6).notes() == []
    assert RateRequest().notes() == []


def test_the_rate_near_which_a_clip_will_end():
    assert RateRequest(size=1_000_000).rate_near(10.0) == 800_000
    assert RateRequest(size=1_000_000).rate_near(None) is None
    assert RateRequest(bitrate=3e5).rate_near(10.0) == 3e5
    assert RateRequest(bitrate=3e5).rate_near(None) == 3e5
    assert RateRequest(psnr=38).rate_near(10.0) is None
