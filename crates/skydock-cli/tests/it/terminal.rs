//! The program on a terminal: a person who answers, colours, and lines that change in place.

use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    process::{Command, ExitStatus, Stdio},
};

use nix::{
    pty::{Winsize, openpty},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    agent::folder,
    program::{http, stdio},
};

/// The program on a terminal of 60 columns, and the person before it.
struct Terminal {
    child: std::process::Child,
    keyboard: File,
    screen: File,
    seen: String,
}

impl Terminal {
    fn start(words: &[&str], environment: &[(&str, &str)]) -> Self {
        let size = Winsize {
            ws_row: 40,
            ws_col: 60,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(Some(&size), None).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let child = Command::new(env!("CARGO_BIN_EXE_skydock"))
            .args(words)
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR")
            .envs(environment.iter().copied())
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let keyboard = File::from(pty.master.try_clone().unwrap());
        // the slave ends here, so that the screen ends with the program
        Self {
            child,
            keyboard,
            screen: File::from(pty.master),
            seen: String::new(),
        }
    }

    /// Reads until the text is there, and forgets what was before.
    fn wait_for(&mut self, text: &str) {
        while !self.seen.contains(text) {
            assert!(self.read(), "{text:?} did not come; there was {:?}", self.seen);
        }
        let end = self.seen.find(text).unwrap() + text.len();
        self.seen.drain(..end);
    }

    fn type_line(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Reads to the end; gives what is left.
    fn end(mut self) -> (String, ExitStatus) {
        while self.read() {}
        (self.seen, self.child.wait().unwrap())
    }

    fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        match self.screen.read(&mut bytes) {
            Ok(0) => false,
            Ok(length) => {
                self.seen.push_str(&String::from_utf8_lossy(&bytes[..length]));
                true
            }
            // how Linux says that nobody has the other end any more
            Err(error) if error.raw_os_error() == Some(5) => false,
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_person_fills_in_a_form_field_by_field() {
    let mut terminal = Terminal::start(&["call", &stdio(), "ask"], &[("NO_COLOR", "1")]);
    terminal.wait_for("How many pizzas?");
    terminal.wait_for("cheese (boolean, default true): ");
    terminal.type_line("perhaps");
    terminal.wait_for("cheese must be true or false, not \"perhaps\"");
    terminal.type_line("");
    terminal.wait_for("Count (integer): ");
    terminal.type_line("");
    terminal.wait_for("Count is needed");
    terminal.type_line("0");
    terminal.wait_for("Count must be at least 1");
    terminal.type_line("2");
    terminal.wait_for("email (string (email), may be left out): ");
    terminal.type_line("me@example.com");
    let (rest, status) = terminal.end();
    assert!(status.success(), "{rest}");
    for text in [
        "\"action\": \"accept\"",
        "\"count\": 2",
        "\"cheese\": true",
        "\"email\": \"me@example.com\"",
    ] {
        assert!(rest.contains(text), "{text} is not in {rest}");
    }
}

#[test]
fn a_person_can_say_no_and_can_walk_away() {
    for (word, action) in [
        ("!decline", "decline"),
        ("!cancel", "cancel"),
        ("\u{4}", "cancel"),
    ] {
        for era in ["2025-11-25", "2026-07-28"] {
            let mut terminal =
                Terminal::start(&["call", &stdio(), "ask", "--era", era], &[("NO_COLOR", "1")]);
            terminal.wait_for("cheese (boolean, default true): ");
            terminal.type_line(word);
            let (rest, _) = terminal.end();
            assert!(
                rest.contains(&format!("\"action\": \"{action}\"")),
                "{word:?} {era}: {rest:?}"
            );
        }
    }
}

#[test]
fn a_question_without_fields_is_not_agreed_to_by_itself() {
    for (word, action) in [
        ("y", "accept"),
        ("", "decline"),
        ("n", "decline"),
        ("!cancel", "cancel"),
    ] {
        let words = ["call", &stdio(), "may", "--era", "2025-11-25"];
        let mut terminal = Terminal::start(&words, &[("NO_COLOR", "1")]);
        terminal.wait_for("Do you agree? [y/N] ");
        terminal.type_line(word);
        let (rest, _) = terminal.end();
        assert!(
            rest.contains(&format!("\"action\": \"{action}\"")),
            "{word:?}: {rest:?}"
        );
    }
}

#[test]
fn answers_given_beforehand_are_not_asked_again() {
    let words = [
        "call",
        &stdio(),
        "ask",
        "--answer",
        "count=4",
        "--answer",
        "cheese=no",
    ];
    let mut terminal = Terminal::start(&words, &[("NO_COLOR", "1")]);
    terminal.wait_for("email (string (email), may be left out): ");
    terminal.type_line("");
    let (rest, _) = terminal.end();
    assert!(rest.contains("\"count\": 4") && !rest.contains("email"), "{rest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_gets_colours_its_own_width_and_a_live_line() {
    let target = http().await;
    let run = |words: &[&str], environment: &[(&str, &str)]| {
        let (seen, status) = Terminal::start(words, environment).end();
        assert!(status.success(), "{seen}");
        seen
    };
    let listing = run(&["call", &target], &[]);
    assert!(listing.contains("\u{1b}[1mecho\u{1b}[0m"), "{listing:?}");
    let plain = run(&["call", &target], &[("NO_COLOR", "1")]);
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    assert!(
        plain.lines().skip(1).all(|line| line.chars().count() <= 60),
        "{plain}"
    );
    let bake = run(&["call", &target, "bake"], &[("NO_COLOR", "1")]);
    assert!(
        bake.contains("\r\u{1b}[2K… 3/3 in the oven\r\u{1b}[2Kdone"),
        "{bake:?}"
    );
    let dumb = run(&["call", &target, "bake"], &[("TERM", "dumb")]);
    assert!(
        dumb.contains("… 3/3 in the oven\r\ndone") && !dumb.contains('\u{1b}'),
        "{dumb:?}"
    );
}

#[test]
fn a_server_cannot_command_the_terminal() {
    let hostile = "text=\u{1b}[2K\r\u{1b}]0;gone\u{7}";
    let (seen, _) = Terminal::start(&["call", &stdio(), "say", hostile], &[]).end();
    assert!(
        seen.contains("0;gone") && !seen.contains("\u{1b}]") && !seen.contains("\u{1b}[2K"),
        "{seen:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_chats_decides_and_stops_an_answer() {
    let (_folder, model, _) = folder();
    let url = http().await;
    let words = [
        "agent", "--model", &model, "--store", "memory", "--user", "max", "--server", &url, "--ask", "*",
    ];
    let mut terminal = Terminal::start(&words, &[("NO_COLOR", "1")]);
    terminal.wait_for("> ");
    terminal.type_line("hi");
    terminal.wait_for("No model is thinking");
    terminal.wait_for("hello max");
    terminal.wait_for("> ");
    terminal.type_line("ask");
    terminal.wait_for("text: yes");
    terminal.wait_for("Allow say? [y/N, or say why not] ");
    terminal.type_line("y");
    terminal.wait_for("→ say text=yes");
    terminal.wait_for("It said: yes");
    terminal.wait_for("> ");
    terminal.type_line("slow");
    terminal.wait_for("two ");
    let pid = Pid::from_raw(i32::try_from(terminal.child.id()).unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    terminal.wait_for("stopped");
    terminal.wait_for("> ");
    terminal.type_line("/quit");
    let (rest, _) = terminal.end();
    assert!(!rest.contains("sixteen"), "{rest}");
}
