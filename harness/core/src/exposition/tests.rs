use super::*;
use proptest::prelude::*;

const TEXT: &str = r#"# HELP redis_errors Errors.
# TYPE redis_errors counter
redis_errors_total{kind="timeout"} 2
redis_errors_total{kind="lost"} 1.0 1700000000.123
# TYPE up gauge
up 1
# TYPE took_seconds histogram
took_seconds_bucket{le="0.1",command="GET"} 3 # {trace_id="x"} 0.05
took_seconds_bucket{le="+Inf",command="GET"} 4
took_seconds_sum{command="GET"} 0.75
took_seconds_count{command="GET"} 4

odd{path="/a,b={c}",text="say \"\\n\" \n"} NaN
# EOF
"#;

fn parse(text: &str) -> Exposition {
    Exposition::parse(text).expect("an exposition")
}

fn selector(text: &str) -> Selector {
    text.parse().expect("a selector")
}

#[test]
fn both_formats_are_read() {
    let read = parse(TEXT);
    assert_eq!(read.sum(&selector("up")), Some(1.0));
    assert_eq!(read.sum(&selector("redis_errors_total")), Some(3.0));
    let lost = selector("redis_errors_total{kind=\"lost\"}");
    assert_eq!(read.sum(&lost), Some(1.0));
    assert_eq!(read.sum(&selector("redis_errors_total{kind=\"x\"}")), None);
    let get = read.histograms("took_seconds", "command")["GET"];
    assert_eq!((get.count, get.sum), (4.0, 0.75));
    assert_eq!(read.crooked_histograms(), Vec::<String>::new());
}

#[test]
fn a_label_may_hold_any_text() {
    let odd = parse(TEXT);
    let (series, _) = odd
        .samples()
        .find(|(series, _)| series.name == "odd")
        .expect("the odd one");
    assert_eq!(series.labels["path"], "/a,b={c}");
    assert_eq!(series.labels["text"], "say \"\\n\" \n");
}

#[test]
fn a_line_that_is_none_is_named() {
    for (text, problem) in [
        ("up\n", "a space and a value"),
        ("up one\n", "`one` is no number"),
        ("up 1 soon\n", "`soon` is no timestamp"),
        ("1up 1\n", "the name of a metric"),
        ("up{x=1} 1\n", "like name=\"value\""),
        ("up{x=\"1} 1\n", "without an end"),
        ("up{x=\"\\t\"} 1\n", "an escape"),
        ("up{x=\"1\" y=\"2\"} 1\n", "`,` or `}`"),
        ("up{x=\"1\",x=\"2\"} 1\n", "twice"),
        ("up 1\nup 2\n", "a second sample"),
        ("# TYPE up gauge\n# TYPE up gauge\n", "a second type"),
    ] {
        let error = Exposition::parse(text).expect_err(text).to_string();
        assert!(error.contains(problem), "{text}: {error}");
    }
}

#[test]
fn counters_that_fall_are_told_and_gauges_may() {
    let later = TEXT
        .replace("kind=\"timeout\"} 2", "kind=\"timeout\"} 0")
        .replace("up 1", "up 0")
        .replace("took_seconds_count{command=\"GET\"} 4", "");
    let fallen = parse(&later).fallen_since(&parse(TEXT));
    assert_eq!(
        fallen,
        [
            "redis_errors_total{kind=\"timeout\"} from 2 to 0",
            "took_seconds_count{command=\"GET\"} is gone, it was 4"
        ]
    );
    let gone = TEXT.replace("redis_errors_total{kind=\"lost\"} 1.0 1700000000.123\n", "");
    assert_eq!(
        parse(&gone).fallen_since(&parse(TEXT)),
        ["redis_errors_total{kind=\"lost\"} is gone, it was 1"]
    );
    assert!(parse(TEXT).fallen_since(&parse(TEXT)).is_empty());
}

#[test]
fn a_histogram_that_contradicts_itself_is_told() {
    let falls = TEXT.replace(
        "le=\"0.1\",command=\"GET\"} 3",
        "le=\"0.1\",command=\"GET\"} 5",
    );
    assert_eq!(parse(&falls).crooked_histograms().len(), 1);
    let count = TEXT.replace(
        "took_seconds_count{command=\"GET\"} 4",
        "took_seconds_count{command=\"GET\"} 5",
    );
    assert_eq!(parse(&count).crooked_histograms().len(), 1);
}

proptest! {
    #[test]
    fn any_label_survives_being_written(value in "\\PC*") {
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let read = parse(&format!("up{{x=\"{quoted}\"}} 1"));
        let (series, _) = read.samples().next().expect("one");
        prop_assert_eq!(&series.labels["x"], &value);
    }

    #[test]
    fn no_text_makes_it_panic(text in "[a{}\\\\\"=,# 1\n\u{e4}]{0,40}") {
        let _ = Exposition::parse(&text);
    }
}
