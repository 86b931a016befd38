//! Conversations in a bucket of S3: `PREFIX/USER/SESSION.json`, gzip, with user and session percent-encoded, or as hashes
//! when they are too long.
//!
//! The version is the object's ETag; a write is conditional on it (`If-Match`, `If-None-Match`). Title and time are
//! metadata of the object.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    error::{DisplayErrorContext, SdkError},
    operation::{get_object::GetObjectError, head_object::HeadObjectOutput},
    primitives::{ByteStream, DateTime},
    types::Object,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use uuid::Uuid;

use super::{
    Draft, Failure, Key, Listed, Store, Stored,
    packed::{broken, pack, short, unpack},
};
use crate::aws::{self, Patience, patient};

/// How long it is waited for.
const PATIENCE: Patience = Patience {
    attempt: Duration::from_secs(5),
    attempts: 3,
    whole: Duration::from_secs(12),
};
/// How long a conversation may be, packed.
const LONGEST: usize = 16 << 20;
/// What stays as it is in a key. Neither `.`, which alone would be a step in a path, nor `~`, which begins hashes.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
/// How long a name may be in a key, encoded: a key has 1,024 bytes.
const LONGEST_NAME: usize = 300;
/// How much of a title is kept beside the object, encoded: metadata has 2 KB.
const LONGEST_TITLE: usize = 600;
/// How long a session's name may be, in bytes: where it does not fit into the key, it is kept beside the object.
const LONGEST_SESSION: usize = 800;
/// How many objects are looked at at once, for a list.
const AT_ONCE: usize = 10;

const TITLE: &str = "title";
const SESSION: &str = "session";
const WRITTEN: &str = "written";
const MARK: &str = "mark";

/// Conversations in a bucket. Clones share the connections.
#[derive(Debug, Clone)]
pub struct S3 {
    client: Client,
    bucket: String,
    /// Empty, or with a slash at its end.
    prefix: String,
}

impl S3 {
    /// Conversations in this bucket under a prefix, with the usual settings of AWS. Nothing is asked of it yet.
    pub async fn connect(bucket: &str, prefix: &str) -> Self {
        Self::new(bucket, prefix, &aws::usual().await)
    }

    /// The same with other settings. With an endpoint of its own, the bucket is a part of the path.
    #[must_use]
    pub fn new(bucket: &str, prefix: &str, config: &SdkConfig) -> Self {
        let elsewhere = config.endpoint_url().is_some() || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some();
        let config = aws_sdk_s3::config::Builder::from(&patient(config, PATIENCE))
            .force_path_style(elsewhere)
            .build();
        let prefix = prefix.trim_matches('/');
        Self {
            client: Client::from_conf(config),
            bucket: bucket.to_owned(),
            prefix: if prefix.is_empty() {
                String::new()
            } else {
                format!("{prefix}/")
            },
        }
    }

    fn folder(&self, user: &str) -> String {
        format!("{}{}/", self.prefix, name(user))
    }

    fn key(&self, key: &Key) -> String {
        format!("{}{}.json", self.folder(&key.user), name(&key.session))
    }

    fn failed<E: std::error::Error + Send + Sync + 'static>(&self, error: &E) -> Failure {
        broken(format!(
            "the bucket {} of S3: {}",
            self.bucket,
            DisplayErrorContext(error)
        ))
    }

    /// What is there, without the body.
    async fn look(&self, key: &str) -> Result<Option<HeadObjectOutput>, Failure> {
        let head = self.client.head_object().bucket(&self.bucket).key(key);
        match head.send().await {
            Ok(head) => Ok(Some(head)),
            Err(SdkError::ServiceError(error)) if error.err().is_not_found() => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// After a write that was refused: an attempt whose answer was lost may have written it already.
    async fn is_ours(&self, key: &str, mark: &str) -> Result<Option<String>, Failure> {
        let Some(head) = self.look(key).await? else {
            return Ok(None);
        };
        let ours = note(head.metadata.as_ref(), MARK).is_some_and(|found| found == mark);
        Ok(head.e_tag.filter(|_| ours))
    }

    async fn entry(&self, key: &str) -> Result<Option<Listed>, Failure> {
        // it may have gone since
        let Some(head) = self.look(key).await? else {
            return Ok(None);
        };
        let notes = head.metadata.as_ref();
        let written =
            note(notes, WRITTEN).and_then(|written| Timestamp::from_millisecond(written.parse().ok()?).ok());
        let modified = || Timestamp::from_second(head.last_modified.as_ref().map_or(0, DateTime::secs)).ok();
        let session = key
            .rsplit('/')
            .next()
            .and_then(|file| file.strip_suffix(".json"))
            .and_then(named);
        let beside = || String::from_utf8(URL_SAFE_NO_PAD.decode(notes?.get(SESSION)?).ok()?).ok();
        Ok(session.or_else(beside).map(|session| Listed {
            session,
            title: note(notes, TITLE).unwrap_or_default(),
            written: written.or_else(modified).unwrap_or_default(),
        }))
    }
}

#[async_trait]
impl Store for S3 {
    async fn load(&self, key: &Key) -> Result<Option<Stored>, Failure> {
        let get = self.client.get_object().bucket(&self.bucket).key(self.key(key));
        let found = match get.send().await {
            Ok(found) => found,
            Err(SdkError::ServiceError(error)) if matches!(error.err(), GetObjectError::NoSuchKey(_)) => {
                return Ok(None);
            }
            Err(error) => return Err(self.failed(&error)),
        };
        let version = found.e_tag.ok_or_else(|| broken("an object of S3 has no ETag"))?;
        let packed = found.body.collect().await.map_err(broken)?.into_bytes();
        Ok(Some(Stored {
            version,
            body: unpack(&packed)?,
        }))
    }

    async fn save(&self, key: &Key, draft: Draft<'_>) -> Result<String, Failure> {
        if key.session.len() > LONGEST_SESSION {
            return Err(broken(format!(
                "the name of a conversation in S3 has up to {LONGEST_SESSION} bytes, and this one {}",
                key.session.len()
            )));
        }
        let mark = Uuid::new_v4().to_string();
        let packed = pack(draft.body, &mark)?;
        if packed.len() > LONGEST {
            return Err(Failure::TooLong {
                length: packed.len(),
                most: LONGEST,
            });
        }
        let path = self.key(key);
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(&path)
            .content_type("application/json")
            .content_encoding("gzip")
            .metadata(TITLE, encoded(draft.title))
            .metadata(SESSION, URL_SAFE_NO_PAD.encode(&*key.session))
            .metadata(WRITTEN, Timestamp::now().as_millisecond().to_string())
            .metadata(MARK, &mark)
            .body(ByteStream::from(packed));
        let put = match draft.replaces {
            Some(before) => put.if_match(before),
            None => put.if_none_match("*"),
        };
        let error = match put.send().await {
            Ok(written) => return written.e_tag.ok_or_else(|| broken("S3 has told no ETag")),
            Err(error) => error,
        };
        // 412: it is another one; 409: somebody writes just now; 404: there is none to be replaced
        let status = error.raw_response().map(|response| response.status().as_u16());
        match status {
            Some(412 | 409) => self.is_ours(&path, &mark).await?.ok_or(Failure::Conflict),
            Some(404) if draft.replaces.is_some() && is_missing(&error) => Err(Failure::Conflict),
            _ => Err(self.failed(&error)),
        }
    }

    async fn list(&self, user: &str, most: usize) -> Result<Vec<Listed>, Failure> {
        let list = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(self.folder(user))
            // what lies deeper is another store's
            .delimiter("/");
        let mut pages = list.into_paginator().send();
        let mut objects = Vec::new();
        while let Some(page) = pages.next().await {
            objects.extend(
                page.map_err(|error| self.failed(&error))?
                    .contents
                    .unwrap_or_default(),
            );
        }
        let when = |object: &Object| object.last_modified().map_or(0, DateTime::secs);
        objects.sort_by_key(|object| std::cmp::Reverse(when(object)));
        // S3 tells whole seconds, so all of the last one that counts are looked at
        let last = most.checked_sub(1).and_then(|last| objects.get(last)).map(when);
        objects.retain(|object| last.is_none_or(|last| when(object) >= last));
        let keys = objects.into_iter().filter_map(|object| object.key);
        let entries = stream::iter(keys).map(|key| {
            let store = self.clone();
            async move { store.entry(&key).await }
        });
        let found: Vec<_> = entries.buffer_unordered(AT_ONCE).try_collect().await?;
        let mut listed: Vec<_> = found.into_iter().flatten().collect();
        listed.sort_by(|one, other| {
            other
                .written
                .cmp(&one.written)
                .then_with(|| one.session.cmp(&other.session))
        });
        listed.truncate(most);
        Ok(listed)
    }

    async fn remove(&self, key: &Key) -> Result<(), Failure> {
        let delete = self
            .client
            .delete_object()
            .bucket(&self.bucket)
            .key(self.key(key));
        delete.send().await.map_err(|error| self.failed(&error))?;
        Ok(())
    }
}

/// Whether the object is missing, and not the bucket.
fn is_missing<E: aws_sdk_s3::error::ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    matches!(error, SdkError::ServiceError(error) if error.err().code() != Some("NoSuchBucket"))
}

/// A name in a key.
fn name(name: &str) -> String {
    let encoded = utf8_percent_encode(name, KEPT).to_string();
    if encoded.len() > LONGEST_NAME || encoded.is_empty() {
        format!("~{}", short(name))
    } else {
        encoded
    }
}

/// The name that a key was made of; none when it is a hash.
fn named(encoded: &str) -> Option<String> {
    if encoded.starts_with('~') {
        return None;
    }
    let name = percent_decode_str(encoded).decode_utf8().ok()?;
    Some(name.into_owned())
}

/// A text as metadata takes it.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for letter in text.chars() {
        let more = utf8_percent_encode(letter.encode_utf8(&mut [0; 4]), KEPT).to_string();
        if encoded.len() + more.len() > LONGEST_TITLE {
            break;
        }
        encoded.push_str(&more);
    }
    encoded
}

fn note(notes: Option<&HashMap<String, String>>, name: &str) -> Option<String> {
    let text = notes?.get(name)?;
    Some(percent_decode_str(text).decode_utf8_lossy().into_owned())
}
