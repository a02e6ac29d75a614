//! All that lies in both stores, to be searched.

use crate::secrets::contains;
use crate::store_view::StoreView;
use redis::Value;
use touchstone_engine::environment::Environment;
use touchstone_engine::scenario::Stop;
use touchstone_engine::store::StoreKind;

/// Every key of every database with all of its value, and every row of every table.
#[derive(Debug)]
pub(crate) struct StoreContents {
    keys: Vec<(String, Vec<u8>)>,
    rows: Vec<(String, String)>,
}

impl StoreContents {
    pub(crate) async fn read(environment: &Environment) -> Result<Self, Stop> {
        Ok(Self {
            keys: keys(environment).await?,
            rows: rows(environment).await?,
        })
    }

    /// The first place that holds these bytes.
    pub(crate) fn place_of(&self, bytes: &[u8]) -> Option<String> {
        let key = self.keys.iter().find(|(_, text)| contains(text, bytes));
        let row = || {
            let mut rows = self.rows.iter();
            rows.find(|(_, text)| contains(text.as_bytes(), bytes))
        };
        let place = key.map(|(place, _)| place);
        place.or_else(|| row().map(|(place, _)| place)).cloned()
    }

    /// The same in Redis alone, for what may stand in Postgres.
    pub(crate) fn place_in_redis(&self, bytes: &[u8]) -> Option<String> {
        let key = self.keys.iter().find(|(_, text)| contains(text, bytes));
        key.map(|(place, _)| place.clone())
    }

    pub(crate) fn of_redis(&self) -> String {
        format!("{} keys", self.keys.len())
    }

    pub(crate) fn of_postgres(&self) -> String {
        format!("{} rows", self.rows.len())
    }
}

/// Where, and the key's name together with all strings of its value.
async fn keys(environment: &Environment) -> Result<Vec<(String, Vec<u8>)>, Stop> {
    let databases = StoreView::open(environment).await?.databases().await?;
    let mut all = Vec::new();
    for line in databases {
        let number = line
            .strip_prefix("db")
            .and_then(|rest| rest.split(':').next());
        let number = number.and_then(|number| number.parse().ok());
        let number = number.ok_or_else(|| Stop::unknown(format!("`{line}` is no database")))?;
        let store = StoreView::open_database(environment, number).await?;
        for key in store.keys("*").await? {
            let mut text = key.clone();
            // One that has ended meanwhile is nothing.
            flatten(&value(&store, &key).await?, &mut text);
            // The name itself may be what is not to be shown.
            let place = format!("Redis, database {number}, a key of {} bytes", key.len());
            all.push((place, text));
        }
    }
    Ok(all)
}

async fn value(store: &StoreView, key: &[u8]) -> Result<Value, Stop> {
    let mut connection = store.connection();
    let kind: String = redis::cmd("TYPE")
        .arg(key)
        .query_async(&mut connection)
        .await?;
    let mut read = match kind.as_str() {
        "string" => redis::cmd("GET"),
        "hash" => redis::cmd("HGETALL"),
        "set" => redis::cmd("SMEMBERS"),
        "list" => redis::cmd("LRANGE"),
        "zset" => redis::cmd("ZRANGE"),
        "stream" => redis::cmd("XRANGE"),
        "none" => return Ok(Value::Nil),
        other => return Err(Stop::unknown(format!("cannot read a key of type {other}"))),
    };
    read.arg(key);
    match kind.as_str() {
        "list" | "zset" => read.arg(0).arg(-1),
        "stream" => read.arg("-").arg("+"),
        _ => &mut read,
    };
    Ok(read.query_async(&mut connection).await?)
}

/// All bytes of a value, with something between them that joins nothing.
fn flatten(value: &Value, into: &mut Vec<u8>) {
    into.push(0);
    match value {
        Value::BulkString(bytes) => into.extend_from_slice(bytes),
        Value::SimpleString(text) => into.extend_from_slice(text.as_bytes()),
        Value::Array(values) | Value::Set(values) => {
            values.iter().for_each(|value| flatten(value, into));
        }
        Value::Map(pairs) => pairs.iter().for_each(|(name, value)| {
            flatten(name, into);
            flatten(value, into);
        }),
        _ => {}
    }
}

async fn rows(environment: &Environment) -> Result<Vec<(String, String)>, Stop> {
    const TABLES: &str = "SELECT format('%I.%I', table_schema, table_name) \
        FROM information_schema.tables \
        WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema') \
        ORDER BY 1";
    let postgres = environment.store(StoreKind::Postgres).postgres().await?;
    let mut all = Vec::new();
    for table in postgres.query(TABLES, &[]).await? {
        let name: String = table.get(0);
        let read = format!("SELECT t::text FROM {name} t");
        for row in postgres.query(&read, &[]).await? {
            let place = format!("Postgres, a row of {name}");
            all.push((place, row.get::<_, String>(0)));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_value_is_searched_and_parts_are_not_joined() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let hash = Value::Map(vec![
            (text("digest"), text("abc")),
            (text("left"), text("5")),
        ]);
        let mut bytes = Vec::new();
        flatten(&Value::Array(vec![hash, text("def")]), &mut bytes);
        for part in ["digest", "abc", "left", "def"] {
            assert!(contains(&bytes, part.as_bytes()), "{part}");
        }
        assert!(!contains(&bytes, b"digestabc"));
    }
}
