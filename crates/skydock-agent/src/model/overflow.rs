//! How providers say that a conversation is too long: each in its own words, and with the code of any other fault.

/// Parts of such texts, in small letters.
const WORDS: [&str; 14] = [
    // OpenAI, vLLM
    "context_length_exceeded",
    "maximum context length",
    "context length",
    // llama.cpp
    "exceed_context_size",
    "context size",
    // Anthropic's models
    "prompt is too long",
    "exceed context limit",
    // Bedrock
    "input is too long",
    "input tokens exceeded",
    "number of input tokens exceeds",
    "too many input tokens",
    "too many total text bytes",
    // Google, Mistral and others
    "context window",
    "exceeds the maximum number of tokens",
];

/// Whether this text says it.
pub(super) fn is_told(text: &str) -> bool {
    let text = text.to_lowercase();
    WORDS.iter().any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_from_other_faults() {
        for text in [
            "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens",
            "the request exceeds the available context size, try increasing it",
            "Input is too long for requested model.",
            "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
            "prompt is too long: 250000 tokens > 200000 maximum",
            "Input Tokens Exceeded: Number of input tokens exceeds maximum length.",
        ] {
            assert!(is_told(text), "{text}");
        }
        for text in [
            "The maximum tokens you requested exceeds the model limit of 4096.",
            "Too many tokens, please wait before trying again.",
            "messages: roles must alternate",
        ] {
            assert!(!is_told(text), "{text}");
        }
    }
}
