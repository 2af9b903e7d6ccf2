//! A corpus with known answers: what an agent remembers, and questions about it.
//!
//! Made by a program, the same each time, of the phrases in `corpus/*.txt`. Some questions say in
//! other words what the answer says, so that only meaning finds it; some name what has no meaning, a
//! code, so that only words find it; and most need both: a name or a place, and a topic in other
//! words. `corpus/retrieval.jsonl` is what comes out.

use serde::{Deserialize, Serialize};

const FACTS: &str = include_str!("../corpus/facts.txt");
const NOTES: &str = include_str!("../corpus/notes.txt");
const MACHINES: &str = include_str!("../corpus/machines.txt");
const TROUBLES: &str = include_str!("../corpus/troubles.txt");

const PEOPLE: &str = "Aisha Bernd Carmen Dmitri Elif Farid Greta Hanako Igor Jasper Kavita Leroy \
                      Mirela Nuno Odile Pavel Quentin Rosa Sven Tamar Umberto Vera Wanda Yusuf \
                      Zelda Anton Bjork Cedric Dalia Emre Fiona Goran Helga Imre Jana Kofi Lotte \
                      Milan Nadia Oskar";
const TOWNS: &str = "Aarhus Bergamo Coimbra Dresden Esbjerg";

/// How many topics there is a fact about of each person.
const FACTS_EACH: usize = 15;

/// How many tickets there are.
const TICKETS: usize = 150;

/// Something to remember, or a question about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// What is remembered.
    Document {
        /// Its name.
        key: String,
        /// What it says.
        text: String,
    },
    /// What is asked for.
    Question {
        /// What it needs: `fact`, `note`, `code` or `place`.
        kind: String,
        /// What it says.
        text: String,
        /// The names of all documents that answer it; at least one.
        answers: Vec<String>,
    },
}

/// Numbers that look random and are the same each time (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap_or(0) % bound
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// The lines of a file, each in the two parts that `between` separates, each part in its phrases.
fn phrases(file: &'static str, between: &str) -> Vec<[Vec<&'static str>; 2]> {
    let parts = file.lines().filter_map(|line| line.split_once(between));
    let split = |part: &'static str| part.split(" | ").map(str::trim).collect();
    parts
        .map(|(one, other)| [split(one), split(other)])
        .collect()
}

/// Makes the corpus: documents first.
#[must_use]
pub fn lines() -> Vec<Line> {
    let mut dice = Dice(2026);
    let mut corpus = Corpus::default();
    corpus.facts(&mut dice);
    corpus.notes();
    corpus.tickets(&mut dice);
    corpus.places(&mut dice);
    corpus.documents.extend(corpus.questions);
    corpus.documents
}

#[derive(Default)]
struct Corpus {
    documents: Vec<Line>,
    questions: Vec<Line>,
}

impl Corpus {
    fn remember(&mut self, key: &str, text: String) {
        let key = key.to_owned();
        self.documents.push(Line::Document { key, text });
    }

    fn ask(&mut self, kind: &str, text: String, key: &str) {
        self.questions.push(Line::Question {
            kind: kind.to_owned(),
            text,
            answers: vec![key.to_owned()],
        });
    }

    /// Facts about people. Questions share a name with fifteen facts, and a topic with as many.
    fn facts(&mut self, dice: &mut Dice) {
        let topics = phrases(FACTS, " => ");
        for (index, person) in PEOPLE.split_whitespace().enumerate() {
            for round in 0..FACTS_EACH {
                // Every person has every other topic, from another one on.
                let topic = (index + 2 * round) % topics.len();
                let [facts, questions] = &topics[topic];
                let key = format!("fact-{person}-{topic}");
                self.remember(&key, dice.one(facts).replace("{}", person));
                if round % 5 == 0 {
                    let question = dice.one(questions).replace("{}", person);
                    self.ask("fact", question, &key);
                }
            }
        }
    }

    /// Notes that share no word of weight with their questions.
    fn notes(&mut self) {
        for (index, [notes, questions]) in phrases(NOTES, " => ").iter().enumerate() {
            let key = format!("note-{index}");
            self.remember(&key, notes.concat());
            self.ask("note", questions.concat(), &key);
        }
    }

    /// Tickets that differ in little but their codes, and those in little.
    fn tickets(&mut self, dice: &mut Dice) {
        let people: Vec<_> = PEOPLE.split_whitespace().collect();
        let machines = phrases(MACHINES, " | ");
        let troubles = phrases(TROUBLES, " | ");
        for index in 0..TICKETS {
            // The same digits in many orders: 41 has no factor in common with 9000.
            let code = format!("WX-{}", 1000 + index * 41 * 37 % 9000);
            let key = format!("ticket-{code}");
            let [machine, _] = &machines[dice.below(machines.len())];
            let [trouble, _] = &troubles[dice.below(troubles.len())];
            let (one, other) = (dice.one(&people), dice.one(&people));
            let text = format!(
                "{one} opened ticket {code} because the {} on the ground floor {}; {other} has to \
                 answer it by Friday, but nobody knows who ordered it in the first place.",
                machine[0], trouble[0]
            );
            self.remember(&key, text);
            if index % 3 == 0 {
                self.ask("code", format!("any news about {code}?"), &key);
            }
        }
    }

    /// Machines in towns, and what is the matter with them: two troubles each. Questions name the
    /// town, and the rest in other words.
    fn places(&mut self, dice: &mut Dice) {
        let machines = phrases(MACHINES, " | ");
        let troubles = phrases(TROUBLES, " | ");
        for town in TOWNS.split_whitespace() {
            for (index, [machine, other_machine]) in machines.iter().enumerate() {
                let first = dice.below(troubles.len());
                for round in 0..2 {
                    // Half of all troubles further on, so that the two differ.
                    let trouble = (first + round * troubles.len() / 2) % troubles.len();
                    let [trouble, other_trouble] = &troubles[trouble];
                    let key = format!("place-{town}-{index}-{round}");
                    let text = format!("The {} in {town} {}.", machine[0], trouble[0]);
                    self.remember(&key, text);
                    if round == 0 {
                        let (machine, trouble) = (other_machine[0], other_trouble[0]);
                        self.ask("place", format!("{town}: {machine}, {trouble}"), &key);
                    }
                }
            }
        }
    }
}
