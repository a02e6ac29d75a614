//! Toxics: faults of the line in Toxiproxy's words and units.

use crate::body;
use crate::error::ApiError;
use crate::rule::distribution;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;
use touchstone_engine::proxy::fault::LineFault;
use touchstone_engine::proxy::{
    Bandwidth, Delay, Direction, Distribution, Latency, LimitData, NetworkFault, Partly, Proxy,
    ProxyError, ResetPeer, Slicer, SlowClose, Timeout,
};

/// A toxic as clients send and see it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Toxic {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) stream: String,
    pub(crate) toxicity: f32,
    pub(crate) attributes: Attributes,
}

/// What a client sends to make one.
#[derive(Debug, Deserialize)]
struct NewToxic {
    #[serde(default)]
    name: String,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default = "downstream")]
    stream: String,
    #[serde(default = "always")]
    toxicity: f32,
    #[serde(default)]
    attributes: Option<Map<String, Value>>,
}

/// What a client sends to change one.
#[derive(Debug, Deserialize)]
struct ToxicChange {
    toxicity: Option<f32>,
    #[serde(default)]
    attributes: Option<Map<String, Value>>,
}

fn downstream() -> String {
    "downstream".to_owned()
}

fn always() -> f32 {
    1.0
}

/// The attributes of each type, named and in units as in Toxiproxy.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum Attributes {
    Latency(LatencyAttributes),
    Bandwidth(BandwidthAttributes),
    SlowClose(SlowCloseAttributes),
    Timeout(TimeoutAttributes),
    ResetPeer(TimeoutAttributes),
    Slicer(SlicerAttributes),
    LimitData(LimitDataAttributes),
}

/// Milliseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LatencyAttributes {
    latency: i64,
    jitter: i64,
    /// Ours: how the jitter is spread. Without it plus or minus, alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    distribution: Option<String>,
}

/// Kilobytes (1000 bytes) per second.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct BandwidthAttributes {
    rate: i64,
}

/// Milliseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SlowCloseAttributes {
    delay: i64,
}

/// Milliseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TimeoutAttributes {
    timeout: i64,
}

/// Bytes and microseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SlicerAttributes {
    average_size: i64,
    size_variation: i64,
    delay: i64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LimitDataAttributes {
    bytes: i64,
}

impl Attributes {
    fn read(kind: &str, fields: Map<String, Value>) -> Result<Self, ApiError> {
        let read = match kind {
            "latency" => Attributes::Latency(body::fields(fields)?),
            "bandwidth" => Attributes::Bandwidth(body::fields(fields)?),
            "slow_close" => Attributes::SlowClose(body::fields(fields)?),
            "timeout" => Attributes::Timeout(body::fields(fields)?),
            "reset_peer" => Attributes::ResetPeer(body::fields(fields)?),
            "slicer" => Attributes::Slicer(body::fields(fields)?),
            "limit_data" => Attributes::LimitData(body::fields(fields)?),
            _ => return Err(ApiError::refused("invalid toxic type")),
        };
        if let Attributes::Latency(LatencyAttributes {
            distribution: Some(name),
            ..
        }) = &read
        {
            distribution(name)?;
        }
        Ok(read)
    }

    /// As JSON, to lay a change over.
    fn fields(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        }
    }
}

fn checked_toxicity(toxicity: f32) -> Result<f32, ApiError> {
    if (0.0..=1.0).contains(&toxicity) {
        Ok(toxicity)
    } else {
        Err(ApiError::bad_body(format!(
            "toxicity {toxicity}: expected 0 to 1"
        )))
    }
}

impl Toxic {
    /// Reads what a client sent to make one. Its name is the type and the stream if it has none.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, ApiError> {
        let new: NewToxic = body::object(bytes)?;
        direction(&new.stream)?;
        let name = match new.name.as_str() {
            "" => format!("{}_{}", new.kind, new.stream),
            name => name.to_owned(),
        };
        Ok(Self {
            name,
            toxicity: checked_toxicity(new.toxicity)?,
            attributes: Attributes::read(&new.kind, new.attributes.unwrap_or_default())?,
            kind: new.kind,
            stream: new.stream,
        })
    }

    /// The toxic after a change: what the change does not name stays.
    pub(crate) fn changed(&self, bytes: &[u8]) -> Result<Self, ApiError> {
        let change: ToxicChange = body::object(bytes)?;
        let mut fields = self.attributes.fields();
        fields.extend(change.attributes.unwrap_or_default());
        Ok(Self {
            toxicity: checked_toxicity(change.toxicity.unwrap_or(self.toxicity))?,
            attributes: Attributes::read(&self.kind, fields)?,
            ..self.clone()
        })
    }

    /// Toxiproxy lists those of the way up first.
    pub(crate) fn is_upstream(&self) -> bool {
        self.stream.eq_ignore_ascii_case("upstream")
    }

    /// Puts it in force.
    pub(crate) async fn inject(&self, proxy: &Proxy) -> Result<NetworkFault, ApiError> {
        let direction = direction(&self.stream)?;
        let injected = match &self.attributes {
            Attributes::Latency(latency) => {
                let delay = latency.delay()?;
                self.put(proxy, Latency { delay, direction }).await
            }
            Attributes::Bandwidth(BandwidthAttributes { rate }) => {
                let bytes_per_second = positive(*rate).saturating_mul(1000);
                let fault = Bandwidth {
                    bytes_per_second,
                    direction,
                };
                self.put(proxy, fault).await
            }
            Attributes::SlowClose(SlowCloseAttributes { delay }) => {
                let delay = ms(*delay);
                self.put(proxy, SlowClose { delay, direction }).await
            }
            Attributes::Timeout(TimeoutAttributes { timeout }) => {
                let after = ms(*timeout);
                self.put(proxy, Timeout { after, direction }).await
            }
            // Whichever the stream, both sides learn of it.
            Attributes::ResetPeer(TimeoutAttributes { timeout }) => {
                let after = ms(*timeout);
                self.put(proxy, ResetPeer { after }).await
            }
            Attributes::Slicer(slicer) => self.put(proxy, slicer.fault(direction)).await,
            Attributes::LimitData(LimitDataAttributes { bytes }) => {
                let bytes = positive(*bytes);
                self.put(proxy, LimitData { bytes, direction }).await
            }
        };
        Ok(injected?)
    }

    async fn put<F: LineFault>(&self, proxy: &Proxy, fault: F) -> Result<NetworkFault, ProxyError> {
        if self.toxicity >= 1.0 {
            return proxy.inject(fault).await;
        }
        let toxicity = f64::from(self.toxicity);
        proxy.inject(Partly { fault, toxicity }).await
    }
}

fn direction(stream: &str) -> Result<Direction, ApiError> {
    match stream.to_ascii_lowercase().as_str() {
        "upstream" => Ok(Direction::Up),
        "downstream" => Ok(Direction::Down),
        _ => Err(ApiError::refused(
            "stream was invalid, can be either upstream or downstream",
        )),
    }
}

/// What is below zero is none, as in Toxiproxy.
fn positive(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A day: who asks for more wants for ever, and sums of more could overflow a clock.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);

fn ms(value: i64) -> Duration {
    Duration::from_millis(positive(value)).min(DURATION_MAX)
}

impl LatencyAttributes {
    fn delay(&self) -> Result<Delay, ApiError> {
        let distribution = match &self.distribution {
            Some(name) => distribution(name)?,
            None => Distribution::PlusMinus,
        };
        Ok(Delay {
            base: ms(self.latency),
            jitter: ms(self.jitter),
            distribution,
        })
    }
}

impl SlicerAttributes {
    fn fault(&self, direction: Direction) -> Slicer {
        let bytes = |value| u32::try_from(positive(value)).unwrap_or(u32::MAX);
        Slicer {
            average_bytes: bytes(self.average_size),
            variation_bytes: bytes(self.size_variation),
            pause: Duration::from_micros(positive(self.delay)).min(DURATION_MAX),
            direction,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: &Value) -> Result<Toxic, ApiError> {
        Toxic::read(body.to_string().as_bytes())
    }

    #[test]
    fn a_toxic_has_the_defaults_and_the_shape_that_clients_know() {
        let toxic = read(&json!({"type": "latency", "attributes": {"latency": 100}}));
        let expected = json!({
            "name": "latency_downstream",
            "type": "latency",
            "stream": "downstream",
            "toxicity": 1.0,
            "attributes": {"latency": 100, "jitter": 0},
        });
        assert_eq!(
            serde_json::to_value(toxic.expect("read")).ok(),
            Some(expected)
        );
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let toxic = read(&json!({
            "type": "slicer", "toxicity": 0.5,
            "attributes": {"average_size": 64, "size_variation": 32, "delay": 10},
        }));
        let changed = toxic
            .expect("read")
            .changed(br#"{"attributes": {"delay": 20}}"#)
            .expect("changed");
        assert_eq!(changed.toxicity, 0.5);
        let expected = json!({"average_size": 64, "size_variation": 32, "delay": 20});
        assert_eq!(Value::Object(changed.attributes.fields()), expected);
    }

    #[test]
    fn what_is_wrong_is_told_in_the_words_that_clients_know() {
        for (body, said) in [
            (json!({"type": "latancy"}), "invalid toxic type"),
            (
                json!({"type": "latency", "stream": "up"}),
                "stream was invalid",
            ),
            (
                json!({"type": "latency", "attributes": {"latency": "x"}}),
                "bad request body",
            ),
            (
                json!({"type": "latency", "toxicity": 2}),
                "toxicity 2: expected 0 to 1",
            ),
            (
                json!({"type": "latency", "attributes": {"distribution": "x"}}),
                "pareto",
            ),
            (json!([]), "bad request body"),
        ] {
            let error = read(&body).expect_err("refused");
            assert_eq!(error.status, 400);
            assert!(error.message.contains(said), "{error}");
        }
    }
}
