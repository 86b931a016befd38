//! A knowledge base of Amazon Bedrock: it is asked by `Retrieve`, and what it finds is put before the model as it is.

use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_bedrockagentruntime::{
    Client,
    error::DisplayErrorContext,
    types::{
        KnowledgeBaseQuery, KnowledgeBaseRetrievalConfiguration, KnowledgeBaseRetrievalResult,
        KnowledgeBaseVectorSearchConfiguration, RetrievalResultLocation,
    },
};

use super::{Failure, Knowledge};
use crate::aws::{self, Patience, patient};
use crate::message::Passage;

/// How long it is waited for.
const PATIENCE: Patience = Patience {
    attempt: Duration::from_secs(8),
    attempts: 2,
    whole: Duration::from_secs(15),
};
/// What is asked at most, in bytes: `Retrieve` takes 1,000 characters.
const LONGEST_QUESTION: usize = 1_000;
/// What is taken of a passage at most, in bytes.
const LONGEST_PASSAGE: usize = 8_000;
/// How many passages `Retrieve` gives at most.
const MOST: usize = 100;

/// A knowledge base.
#[derive(Debug, Clone)]
pub struct BedrockKnowledgeBase {
    client: Client,
    id: String,
}

impl BedrockKnowledgeBase {
    /// The knowledge base of this id, with the usual settings of AWS. Nothing is asked of it yet.
    pub async fn connect(id: &str) -> Self {
        Self::new(id, &aws::usual().await)
    }

    /// The same with other settings.
    #[must_use]
    pub fn new(id: &str, config: &SdkConfig) -> Self {
        Self {
            client: Client::new(&patient(config, PATIENCE)),
            id: id.to_owned(),
        }
    }
}

#[async_trait]
impl Knowledge for BedrockKnowledgeBase {
    async fn find(&self, question: &str, most: usize) -> Result<Vec<Passage>, Failure> {
        let question = question.trim();
        if question.is_empty() || most == 0 {
            return Ok(Vec::new());
        }
        let asked = question
            .split_at(question.floor_char_boundary(LONGEST_QUESTION))
            .0;
        let number = i32::try_from(most.min(MOST))?;
        let search = KnowledgeBaseVectorSearchConfiguration::builder()
            .number_of_results(number)
            .build();
        let found = self
            .client
            .retrieve()
            .knowledge_base_id(&self.id)
            .retrieval_query(KnowledgeBaseQuery::builder().text(asked).build())
            .retrieval_configuration(
                KnowledgeBaseRetrievalConfiguration::builder()
                    .vector_search_configuration(search)
                    .build(),
            )
            .send()
            .await
            .map_err(|error| {
                let id = &self.id;
                // what AWS says may name accounts and roles; it is for the log
                tracing::warn!(error = %DisplayErrorContext(&error), knowledge_base = id, "a knowledge base does not answer");
                format!("the knowledge base {id} does not answer; whoever runs the agent needs bedrock:Retrieve on it")
            })?;
        Ok(found
            .retrieval_results
            .iter()
            .filter_map(passage)
            .take(most)
            .collect())
    }
}

fn passage(result: &KnowledgeBaseRetrievalResult) -> Option<Passage> {
    let mut text = result.content.as_ref()?.text.trim().to_owned();
    if text.is_empty() {
        return None;
    }
    text.truncate(text.floor_char_boundary(LONGEST_PASSAGE));
    let source = result.location.as_ref().and_then(source);
    let source = source.or_else(|| result.document_id.clone());
    Some(Passage {
        source: source.unwrap_or_else(|| "knowledge base".to_owned()),
        text,
    })
}

/// Where a passage stands.
fn source(location: &RetrievalResultLocation) -> Option<String> {
    let RetrievalResultLocation {
        s3_location,
        web_location,
        confluence_location,
        salesforce_location,
        share_point_location,
        custom_document_location,
        kendra_document_location,
        ..
    } = location;
    let found = [
        s3_location.as_ref().and_then(|place| place.uri.as_ref()),
        web_location.as_ref().and_then(|place| place.url.as_ref()),
        confluence_location.as_ref().and_then(|place| place.url.as_ref()),
        salesforce_location.as_ref().and_then(|place| place.url.as_ref()),
        share_point_location.as_ref().and_then(|place| place.url.as_ref()),
        custom_document_location
            .as_ref()
            .and_then(|place| place.id.as_ref()),
        kendra_document_location
            .as_ref()
            .and_then(|place| place.uri.as_ref()),
    ];
    found.into_iter().flatten().next().cloned()
}
