//! A text, cut into passages that can stand alone: by headings, and by paragraphs where that is too long.

use crate::message::Passage;

/// How long a passage is at most, in bytes.
const LONGEST: usize = 1_200;

/// The passages of a text, which is called `name`. Their sources are the name and the heading that they stand under.
pub(super) fn cut(name: &str, text: &str, markdown: bool) -> Vec<Passage> {
    let mut cutter = Cutter {
        name,
        heading: String::new(),
        text: String::new(),
        found: Vec::new(),
    };
    let mut paragraph = String::new();
    let mut fence = None;
    for line in text.trim_start_matches('\u{feff}').lines() {
        let bare = line.trim();
        let fences = ["```", "~~~"]
            .into_iter()
            .find(|mark| markdown && bare.starts_with(mark));
        match (fence, fences) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            _ => {}
        }
        let heading = if markdown && fence.is_none() {
            heading(line)
        } else {
            None
        };
        if let Some(heading) = heading {
            cutter.add(&std::mem::take(&mut paragraph));
            cutter.close();
            heading.clone_into(&mut cutter.heading);
        } else if bare.is_empty() && fence.is_none() {
            cutter.add(&std::mem::take(&mut paragraph));
        } else {
            paragraph.push_str(line.trim_end());
            paragraph.push('\n');
        }
    }
    cutter.add(&paragraph);
    cutter.close();
    cutter.found
}

/// The words of a heading, such as `## Cars ##`.
fn heading(line: &str) -> Option<&str> {
    let rest = line.trim_start_matches('#');
    let level = line.len() - rest.len();
    if !(1..=6).contains(&level) || !rest.starts_with([' ', '\t']) {
        return None;
    }
    let words = rest.trim().trim_end_matches('#').trim_end();
    (!words.is_empty()).then_some(words)
}

struct Cutter<'a> {
    name: &'a str,
    heading: String,
    text: String,
    found: Vec<Passage>,
}

impl Cutter<'_> {
    /// Adds a paragraph to the passage, or begins the next one with it.
    fn add(&mut self, paragraph: &str) {
        let mut rest = paragraph.trim();
        if rest.is_empty() {
            return;
        }
        if self.text.len() + rest.len() + 2 > LONGEST {
            self.close();
        }
        while rest.len() > LONGEST {
            let most = rest.split_at(rest.floor_char_boundary(LONGEST)).0;
            let end = most
                .rfind(char::is_whitespace)
                .filter(|end| *end > LONGEST / 2)
                .unwrap_or(most.len());
            let (first, second) = rest.split_at(end);
            first.trim_end().clone_into(&mut self.text);
            self.close();
            rest = second.trim_start();
        }
        if !self.text.is_empty() {
            self.text.push_str("\n\n");
        }
        self.text.push_str(rest);
    }

    fn close(&mut self) {
        let text = std::mem::take(&mut self.text);
        if text.is_empty() {
            return;
        }
        let source = if self.heading.is_empty() {
            self.name.to_owned()
        } else {
            format!("{}#{}", self.name, self.heading)
        };
        self.found.push(Passage { source, text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(passages: &[Passage]) -> Vec<&str> {
        passages.iter().map(|passage| passage.source.as_str()).collect()
    }

    #[test]
    fn headings_begin_passages_but_not_within_code() {
        let text = "Before.\n\n# Cars #\nSedans.\n\nSUVs.\n\n```sh\n# no heading\n\nmake\n```\n## Luxury\n\nNone.\n###\n#hash\n";
        let found = cut("a.md", text, true);
        assert_eq!(sources(&found), ["a.md", "a.md#Cars", "a.md#Luxury"]);
        assert_eq!(
            found[1].text,
            "Sedans.\n\nSUVs.\n\n```sh\n# no heading\n\nmake\n```"
        );
        assert_eq!(found[2].text, "None.\n###\n#hash");
        assert_eq!(sources(&cut("a.txt", text, false)), ["a.txt"]);
        assert!(cut("a.md", "# Only a heading\n", true).is_empty());
    }

    #[test]
    fn no_passage_is_long_and_nothing_is_lost() {
        let word = "größer ";
        let text = format!("{}\n\n{}\n\nshort\n", word.repeat(400), "x".repeat(3_000));
        let found = cut("a.md", &text, true);
        assert!(
            found.iter().all(|passage| passage.text.len() <= LONGEST),
            "{found:?}"
        );
        let letters = |text: &str| text.chars().filter(|letter| !letter.is_whitespace()).count();
        let kept: usize = found.iter().map(|passage| letters(&passage.text)).sum();
        assert_eq!(kept, letters(&text));
    }
}
