//! A meter: reads a recorded chat stream from standard input and says what it held and what it cost.
//!
//! `cargo run -p outrigger-wire --example wire-composed -- gpt-4.1 < stream.txt`
#![expect(clippy::print_stdout, reason = "an example shows what it finds")]

use std::{
    error::Error,
    io::{self, Read},
    time::SystemTime,
};

use outrigger_wire::{AnswerFacts, Api, PriceTable, SseEvent, SseFramer, read_frame};

fn main() -> Result<(), Box<dyn Error>> {
    let model = std::env::args().nth(1).unwrap_or_else(|| "gpt-4.1".to_owned());
    let mut framer = SseFramer::new(1 << 20);
    let mut answer = AnswerFacts::of_stream();
    let mut chunk = [0; 4096];
    loop {
        let length = io::stdin().read(&mut chunk)?;
        let read = chunk.get(..length).unwrap_or_default();
        if read.is_empty() {
            break;
        }
        framer.feed(read, |event| {
            if let SseEvent::Data { data, .. } = event {
                let frame = read_frame(Api::Chat, None, data);
                if !frame.done {
                    answer.absorb(&frame);
                }
            }
        })?;
    }
    #[expect(clippy::disallowed_methods, reason = "a program's main is the edge, where the clock is read")]
    let wall = SystemTime::now();
    let cost = PriceTable::builtin()
        .price(&model, None, wall)
        .zip(answer.usage)
        .map(|(price, usage)| price.cost_usd(&usage));
    println!("finish {:?}, usage {:?}, usd {cost:?}", answer.finish, answer.usage);
    match answer.failure() {
        Some(failure) => println!("failure: {}", failure.class),
        None => println!("whole: {}", framer.is_at_boundary()),
    }
    Ok(())
}
