//! How many messages a protobuf body holds, before any of them is built.
//!
//! An empty message is two bytes on the wire and a hundred in memory: a small body could otherwise
//! become gigabytes.

use prost::encoding::{WireType, decode_key, decode_varint};

use super::error::Rejection;

/// Levels of nesting that are looked at: as deep as attributes of spans, labels of series.
const LEVELS: u32 = 4;
/// Messages a body may hold for every item that may wait in the queue: an item has parts.
const PARTS: usize = 16;

/// Refuses a body that holds more messages than `items_max` items have parts.
///
/// # Errors
/// [`Rejection::TooLarge`]. What is no protobuf passes; the decoder says what is wrong with it.
pub(super) fn weigh(body: &[u8], items_max: u32) -> Result<(), Rejection> {
    let max = PARTS * items_max as usize;
    let mut left = max;
    match walk(body, LEVELS, &mut left) {
        Err(Stop::Full) => Err(Rejection::TooLarge {
            what: "number of messages",
            key: "16 * receive.queue_items_max",
            max,
        }),
        _ => Ok(()),
    }
}

enum Stop {
    /// Too many messages.
    Full,
    /// Not a message after all: a string or packed numbers.
    NotAMessage,
}

fn walk(mut bytes: &[u8], levels: u32, left: &mut usize) -> Result<(), Stop> {
    while !bytes.is_empty() {
        let (_, wire) = decode_key(&mut bytes).map_err(|_| Stop::NotAMessage)?;
        let skip = match wire {
            WireType::Varint => {
                decode_varint(&mut bytes).map_err(|_| Stop::NotAMessage)?;
                0
            }
            WireType::ThirtyTwoBit => 4,
            WireType::SixtyFourBit => 8,
            WireType::LengthDelimited => {
                let length = decode_varint(&mut bytes).map_err(|_| Stop::NotAMessage)?;
                usize::try_from(length).map_err(|_| Stop::NotAMessage)?
            }
            WireType::StartGroup | WireType::EndGroup => return Err(Stop::NotAMessage),
        };
        let (inner, rest) = bytes.split_at_checked(skip).ok_or(Stop::NotAMessage)?;
        if wire == WireType::LengthDelimited {
            *left = left.checked_sub(1).ok_or(Stop::Full)?;
            if levels > 1
                && let Err(Stop::Full) = walk(inner, levels - 1, left)
            {
                return Err(Stop::Full);
            }
        }
        bytes = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_messages_by_the_million_are_refused_and_text_is_not_taken_for_messages() {
        let empty = [0x0a, 0x00].repeat(40);
        assert!(weigh(&empty, 2).is_err());
        assert!(weigh(&empty, 3).is_ok());
        let mut nested = vec![0x0a, 80];
        nested.extend(&empty);
        assert!(weigh(&nested, 2).is_err());
        let mut text = vec![0x0a, 100];
        text.extend([b'x'; 100]);
        assert!(weigh(&text, 1).is_ok());
        assert!(weigh(b"\xff\xff\xff", 1).is_ok());
    }
}
