//! Which images the stores run: as told, official, or built from Debian packages.

use super::engine::{self, Why};
use super::error::EngineSaid;
use crate::store::spec::StoreKind;
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;
use testcontainers::GenericImage;
use testcontainers::bollard::Docker;
use testcontainers::bollard::query_parameters::ListImagesOptionsBuilder;
use testcontainers::runners::AsyncRunner;

/// The official Redis. Pinned to the patch, so that two runs a month apart test the same server; 7.4,
/// the last line that most services still run; alpine, the smallest to pull.
pub const OFFICIAL_REDIS: &str = "redis:7.4.2-alpine";
/// The official Postgres, pinned and chosen likewise.
pub const OFFICIAL_POSTGRES: &str = "postgres:16.8-alpine";
/// Ours, built by `make images`; the tag is the version of the machine that built it.
pub const OURS_REDIS: &str = "touchstone/redis";
/// Ours, likewise.
pub const OURS_POSTGRES: &str = "touchstone/postgres";

/// A registry that is slow to refuse must not hold up a run for long.
const PULL_DEADLINE: Duration = Duration::from_secs(90);

/// An image, by name and tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRef {
    /// The name, with its registry.
    pub name: String,
    /// The tag.
    pub tag: String,
}

impl ImageRef {
    /// Reads `[registry[:port]/]name[:tag]`. A digest reads as a tag, and is written back unchanged.
    pub fn parse(text: &str) -> Self {
        let (name, tag) = match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (text, "latest"),
        };
        Self {
            name: name.to_owned(),
            tag: tag.to_owned(),
        }
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.tag)
    }
}

/// Images that somebody asked for.
#[derive(Debug, Clone, Default)]
pub struct ImageOverrides {
    /// The image for Redis, complete.
    pub redis: Option<String>,
    /// The image for Postgres, complete.
    pub postgres: Option<String>,
    /// A registry in front of the official names, for instance `mirror.example/library`.
    pub registry: Option<String>,
}

/// The images of a run.
#[derive(Debug, Clone)]
pub struct Images {
    /// For Redis.
    pub redis: ImageRef,
    /// For Postgres.
    pub postgres: ImageRef,
    /// Which they are and why these, for people.
    pub why: String,
}

impl Images {
    /// The image for a kind of store.
    pub fn of(&self, kind: StoreKind) -> &ImageRef {
        match kind {
            StoreKind::Redis => &self.redis,
            StoreKind::Postgres => &self.postgres,
        }
    }
}

/// An override as given; else the official image if it is here; else ours if it is here; else the
/// official one pulled. Only the first and the last can need a registry.
pub async fn choose_images(overrides: &ImageOverrides) -> Result<Images, Why> {
    let docker = engine::require().await?;
    let (redis, postgres) = tokio::join!(
        choose(&docker, StoreKind::Redis, overrides),
        choose(&docker, StoreKind::Postgres, overrides)
    );
    let ((redis, why_redis), (postgres, why_postgres)) = (redis?, postgres?);
    let why = format!("{redis} ({why_redis}), {postgres} ({why_postgres})");
    Ok(Images {
        redis,
        postgres,
        why,
    })
}

/// The image that a kind of store would run from if nothing may be pulled; or, as the error, the one
/// that would have to be pulled.
pub async fn image_here(
    kind: StoreKind,
    overrides: &ImageOverrides,
) -> Result<Result<(ImageRef, &'static str), ImageRef>, Why> {
    Ok(look(&engine::require().await?, kind, overrides).await)
}

async fn look(
    docker: &Docker,
    kind: StoreKind,
    overrides: &ImageOverrides,
) -> Result<(ImageRef, &'static str), ImageRef> {
    let (asked, official, ours) = match kind {
        StoreKind::Redis => (&overrides.redis, OFFICIAL_REDIS, OURS_REDIS),
        StoreKind::Postgres => (&overrides.postgres, OFFICIAL_POSTGRES, OURS_POSTGRES),
    };
    if let Some(text) = asked {
        let image = ImageRef::parse(text);
        return match is_here(docker, &image).await {
            true => Ok((image, "as asked for")),
            false => Err(image),
        };
    }
    let official = match &overrides.registry {
        Some(registry) => {
            ImageRef::parse(&format!("{}/{official}", registry.trim_end_matches('/')))
        }
        None => ImageRef::parse(official),
    };
    if is_here(docker, &official).await {
        return Ok((official, "official, present"));
    }
    match newest_of(docker, ours).await {
        Some(image) => Ok((image, "built here")),
        None => Err(official),
    }
}

async fn choose(
    docker: &Docker,
    kind: StoreKind,
    overrides: &ImageOverrides,
) -> Result<(ImageRef, &'static str), Why> {
    let absent = match look(docker, kind, overrides).await {
        Ok(chosen) => return Ok(chosen),
        Err(absent) => absent,
    };
    let is_asked = match kind {
        StoreKind::Redis => overrides.redis.is_some(),
        StoreKind::Postgres => overrides.postgres.is_some(),
    };
    match (pull(&absent).await, is_asked) {
        (Ok(()), true) => Ok((absent, "as asked for, pulled")),
        (Ok(()), false) => Ok((absent, "official, pulled")),
        (Err(said), true) => Err(unusable(&absent, &said)),
        (Err(said), false) => Err(Why::new(
            format!("no {kind} image is here and {absent} cannot be pulled ({said})"),
            "run `make images` to build one from the installed servers, or use --provider process",
        )),
    }
}

fn unusable(image: &ImageRef, said: &str) -> Why {
    Why::new(
        format!("the image {image} is not here and cannot be pulled ({said})"),
        format!("check the name, or `docker pull {image}` by hand"),
    )
}

async fn is_here(docker: &Docker, image: &ImageRef) -> bool {
    docker.inspect_image(&image.to_string()).await.is_ok()
}

/// Ours with the highest version.
async fn newest_of(docker: &Docker, name: &str) -> Option<ImageRef> {
    let filters = HashMap::from([("reference".to_owned(), vec![name.to_owned()])]);
    let options = ListImagesOptionsBuilder::new().filters(&filters).build();
    let found = docker.list_images(Some(options)).await.ok()?;
    let tags = found.into_iter().flat_map(|image| image.repo_tags);
    tags.map(|tag| ImageRef::parse(&tag))
        .filter(|image| image.name == name && image.tag.ends_with("-debian"))
        .max_by_key(|image| version_of(&image.tag))
}

fn version_of(tag: &str) -> Vec<u32> {
    tag.trim_end_matches("-debian")
        .split('.')
        .map(|part| part.parse().unwrap_or(0))
        .collect()
}

/// Through testcontainers, which finds the registry's credentials.
async fn pull(image: &ImageRef) -> Result<(), String> {
    let request = GenericImage::new(&image.name, &image.tag);
    match tokio::time::timeout(PULL_DEADLINE, request.pull_image()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(EngineSaid::new(&error, "").to_string()),
        Err(_) => Err(format!("not done after {} s", PULL_DEADLINE.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_written_back_as_it_was_read() {
        for text in [
            "redis:7.4.2-alpine",
            "mirror.example:5000/library/redis:7.4",
            "redis@sha256:0123",
        ] {
            assert_eq!(ImageRef::parse(text).to_string(), text);
        }
    }

    #[test]
    fn a_registry_port_is_not_a_tag() {
        let image = ImageRef::parse("mirror.example:5000/redis");
        assert_eq!(
            (image.name.as_str(), image.tag.as_str()),
            ("mirror.example:5000/redis", "latest")
        );
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(version_of("10.0-debian") > version_of("7.4-debian"));
    }
}
