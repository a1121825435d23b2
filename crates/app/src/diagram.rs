//! [`Diagram`]: what a search found, as a picture: a line for each process, time
//! from left to right, an arrow for each message, and below them, for each
//! multicast, how long it took. It draws what happened and judges nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use skein_machine::{Cluster, GroupId, GroupSet, MessageId, ProcessId};
use skein_sim::search::{Counterexample, Moment, MomentKind};

use crate::bench::plot::{COLOURS, escaped};

const LEFT: f64 = 96.0;
const TOP: f64 = 56.0;
/// Between two moments.
const STEP: f64 = 76.0;
/// Between two processes.
const LANE: f64 = 62.0;
/// Between two lines of the lower part.
const BAR: f64 = 24.0;

/// A picture of processes and messages.
pub(crate) struct Diagram {
    title: String,
    lanes: Vec<Lane>,
    moments: Vec<Moment>,
    spans: Vec<Span>,
}

struct Lane {
    process: ProcessId,
    name: String,
    is_replica: bool,
}

/// From the multicast of a message to its delivery at the last of its destinations.
struct Span {
    id: MessageId,
    destinations: GroupSet,
    from: usize,
    /// `None` if it had not come to that.
    to: Option<usize>,
}

impl Diagram {
    pub(crate) fn of(found: &Counterexample, cluster: &Cluster) -> Diagram {
        let spans = spans_of(&found.events);
        let casts: BTreeMap<ProcessId, MessageId> =
            found.events.iter().filter_map(|moment| cast(moment).map(|(id, _)| (moment.process, id))).collect();
        let seen: BTreeSet<ProcessId> = found.events.iter().map(|moment| moment.process).collect();
        let outsiders = cluster.outsiders().iter().filter(|process| seen.contains(process));
        let mut lanes: Vec<Lane> = outsiders
            .map(|process| {
                let name = casts.get(process).map_or(process.to_string(), |id| format!("sender of {id}"));
                Lane { process: *process, name, is_replica: false }
            })
            .collect();
        for group in cluster.groups().iter() {
            for process in cluster.members(group) {
                lanes.push(Lane { process: *process, name: format!("{group}, {process}"), is_replica: true });
            }
        }
        let title = found.violations.first().map(ToString::to_string).unwrap_or_default();
        Diagram { title, lanes, moments: found.events.clone(), spans }
    }

    pub(crate) fn to_svg(&self) -> String {
        let width = self.x(self.moments.len()) + 24.0;
        let height = self.bars() + BAR * self.spans.len() as f64 + 20.0;
        let mut svg = String::new();
        let mut put = |text: std::fmt::Arguments<'_>| writeln!(svg, "{text}").expect("a string takes everything");
        put(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"system-ui, sans-serif\" font-size=\"11\">"
        ));
        put(format_args!(
            "<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
             orient=\"auto-start-reverse\"><path d=\"M0 0L8 4L0 8z\" fill=\"context-stroke\"/></marker></defs>"
        ));
        put(format_args!("<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"));
        put(format_args!(
            "<text x=\"16\" y=\"24\" font-size=\"13\" font-weight=\"600\" fill=\"#222\">{}</text>",
            escaped(&self.title)
        ));
        for (nth, lane) in self.lanes.iter().enumerate() {
            let (y, right) = (lane_y(nth), width - 12.0);
            let colour = if lane.is_replica { "#888" } else { "#d6d6d6" };
            put(format_args!("<path d=\"M{LEFT} {y}H{right}\" stroke=\"{colour}\"/>"));
            put(format_args!(
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#333\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                escaped(&lane.name)
            ));
        }
        for moment in &self.moments {
            self.draw(moment, &mut put);
        }
        for (nth, span) in self.spans.iter().enumerate() {
            let (colour, y) = (self.colour(span.id), self.bars() + BAR * nth as f64);
            let (from, to) = (self.x(span.from), self.x(span.to.unwrap_or(self.moments.len())));
            // What never came to an end has none in the picture either.
            let end = if span.to.is_some() { format!("M{to} {}v10", y - 5.0) } else { String::new() };
            put(format_args!(
                "<path d=\"M{from} {}v10M{from} {y}H{to}{end}\" stroke=\"{colour}\" stroke-width=\"2\" fill=\"none\"/>",
                y - 5.0
            ));
            put(format_args!(
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"{colour}\">{} to {}</text>",
                LEFT - 8.0,
                y + 4.0,
                span.id,
                span.destinations
            ));
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn draw(&self, moment: &Moment, put: &mut dyn FnMut(std::fmt::Arguments<'_>)) {
        let (x, y) = (self.x(moment.step), self.y(moment.process));
        match moment.kind {
            MomentKind::Hear => {
                let Some((from, sent)) = moment.sent else { return };
                let words = moment.words.split_once(": ").map_or("", |(_, words)| words);
                let colour = self.colour_of(words);
                let (from_x, from_y) = (self.x(sent), self.y(from));
                put(format_args!(
                    "<path d=\"M{from_x} {from_y}L{x} {y}\" stroke=\"{colour}\" fill=\"none\" \
                     marker-end=\"url(#head)\"/>"
                ));
                // On the far side of the line, so that no arrow runs through it.
                let below = if from_y < y { 14.0 } else { -6.0 };
                put(format_args!(
                    "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" fill=\"{colour}\" font-size=\"9.5\">{}</text>",
                    y + below,
                    escaped(short(words))
                ));
            }
            MomentKind::Multicast(id, _) => put(format_args!(
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"5\" fill=\"{}\"/>\
                 <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" fill=\"#333\">{id}</text>",
                self.colour(id),
                y - 10.0
            )),
            MomentKind::Deliver(id, _) => put(format_args!(
                "<rect x=\"{}\" y=\"{}\" width=\"40\" height=\"18\" rx=\"4\" fill=\"{}\"/>\
                 <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" fill=\"#fff\" font-weight=\"600\">{id}</text>",
                x - 20.0,
                y - 9.0,
                self.colour(id),
                y + 4.0
            )),
            MomentKind::Ask(_) | MomentKind::Answer => put(format_args!(
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"4\" fill=\"#fff\" stroke=\"#333\"/>\
                 <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" fill=\"#333\" font-size=\"9.5\">{}</text>",
                y - 8.0,
                escaped(&moment.words)
            )),
            MomentKind::Crash | MomentKind::Restart | MomentKind::Lose | MomentKind::Timer => put(format_args!(
                "<path d=\"M{} {}l8 8m0 -8l-8 8\" stroke=\"#333\" stroke-width=\"2\"/>\
                 <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" fill=\"#333\" font-size=\"9.5\">{}</text>",
                x - 4.0,
                y - 4.0,
                y - 8.0,
                escaped(&moment.words)
            )),
        }
    }

    /// Where the lower part begins.
    fn bars(&self) -> f64 {
        lane_y(self.lanes.len()) + 4.0
    }

    fn x(&self, step: usize) -> f64 {
        LEFT + 24.0 + STEP * step as f64
    }

    fn y(&self, process: ProcessId) -> f64 {
        let place = self.lanes.iter().position(|lane| lane.process == process);
        lane_y(place.expect("every process that does something has a line"))
    }

    fn colour(&self, id: MessageId) -> &'static str {
        let place = self.spans.iter().position(|span| span.id == id).unwrap_or(0);
        COLOURS[place % COLOURS.len()]
    }

    /// The colour of the multicast that these words speak of.
    fn colour_of(&self, words: &str) -> &'static str {
        let speaks_of = |span: &&Span| words.split([' ', ':', ',', '@']).any(|word| word == span.id.to_string());
        self.spans.iter().find(speaks_of).map_or("#777", |span| self.colour(span.id))
    }
}

fn lane_y(nth: usize) -> f64 {
    TOP + 12.0 + LANE * nth as f64
}

fn cast(moment: &Moment) -> Option<(MessageId, GroupSet)> {
    match moment.kind {
        MomentKind::Multicast(id, destinations) => Some((id, destinations)),
        _ => None,
    }
}

fn spans_of(events: &[Moment]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut missing: BTreeMap<MessageId, BTreeSet<GroupId>> = BTreeMap::new();
    for moment in events {
        if let Some((id, destinations)) = cast(moment) {
            spans.push(Span { id, destinations, from: moment.step, to: None });
            missing.insert(id, destinations.iter().collect());
        }
        if let MomentKind::Deliver(id, group) = moment.kind
            && let Some(groups) = missing.get_mut(&id)
            && groups.remove(&group)
            && groups.is_empty()
            && let Some(span) = spans.iter_mut().find(|span| span.id == id)
        {
            span.to = Some(moment.step);
        }
    }
    spans
}

/// What is said, without to whom: an arrow shows that.
fn short(words: &str) -> &str {
    words.split_once(" to g").map_or(words, |(short, _)| short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_sim::check::Violation;

    fn moment(step: usize, process: u16, kind: MomentKind, sent: Option<(ProcessId, usize)>, words: &str) -> Moment {
        Moment { step, kind, process: ProcessId(process), sent, words: words.to_owned() }
    }

    #[test]
    fn it_shows_who_said_what_and_how_long_it_took() {
        let cluster = Cluster::regular(2, 1, 1).unwrap();
        let id = MessageId::new(1, 1, 0b11);
        let [g0, g1] = [GroupId::new(0).unwrap(), GroupId::new(1).unwrap()];
        let cast = MomentKind::Multicast(id, id.destinations);
        let events = vec![
            moment(0, 2, cast, None, "multicasts s1.1 to g0+g1"),
            moment(1, 0, MomentKind::Hear, Some((ProcessId(2), 0)), "hears p2: START s1.1 to g0+g1 \"<\""),
            moment(2, 0, MomentKind::Deliver(id, g0), None, "delivers #0 s1.1@1"),
            moment(3, 1, MomentKind::Deliver(id, g1), None, "delivers #0 s1.1@1"),
        ];
        let violations = vec![Violation { property: "global order", detail: "1 < 2".to_owned() }];
        let diagram = Diagram::of(&Counterexample { violations, events }, &cluster);
        let span = &diagram.spans[0];
        assert_eq!((span.from, span.to), (0, Some(3)), "it is over when both have it");
        let svg = diagram.to_svg();
        for part in ["sender of s1.1", "g1, p1", ">START s1.1</text>", "1 &lt; 2", "s1.1 to g0+g1</text>"] {
            assert!(svg.contains(part), "{part} is missing in {svg}");
        }
    }

    #[test]
    fn what_did_not_end_has_no_end() {
        let id = MessageId::new(1, 1, 0b11);
        let cast = moment(0, 2, MomentKind::Multicast(id, id.destinations), None, "");
        assert_eq!(spans_of(&[cast])[0].to, None);
    }
}
