//! What is checked of a JPEG before it is decoded. Decoders fill what is missing with grey, so that half a file, or one
//! of a few bytes that claims a hundred megapixels, would pass for a picture and calibrate.

use std::io::{self, BufRead, ErrorKind, Read};

/// Pixels that one byte of a file can hold at the most: a block of 8 x 8 takes a bit or more.
const MOST_PIXELS_PER_BYTE: u64 = 64 * 8;

const START: u8 = 0xd8;
const END: u8 = 0xd9;
/// A marker that, like START and those of restarts, has no segment behind it.
const TEMPORARY: u8 = 0x01;

/// Whether `file` begins as a JPEG does.
///
/// # Errors
/// When it cannot be read.
pub(super) fn is_jpeg(file: &mut impl BufRead) -> io::Result<bool> {
    Ok(file.fill_buf()?.starts_with(&[0xff, START]))
}

/// Walks from marker to marker to the end of the image; what follows it, such as the video that phones append, does not
/// count.
///
/// # Errors
/// When the file ends before the image does, or cannot be read.
pub(super) fn check_whole(file: &mut impl BufRead) -> Result<(), String> {
    walk(file).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => "truncated: the file ends before the JPEG image does".to_owned(),
        _ => error.to_string(),
    })
}

fn walk(file: &mut impl BufRead) -> io::Result<()> {
    loop {
        match next_marker(file)? {
            END => return Ok(()),
            START | TEMPORARY => {}
            _ => {
                let mut length = [0; 2];
                file.read_exact(&mut length)?;
                // The length counts itself. What is behind the header of a scan is passed over by the search.
                let rest = u64::from(u16::from_be_bytes(length)).saturating_sub(2);
                if io::copy(&mut file.take(rest), &mut io::sink())? < rest {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }
}

/// Passes over coded data, in which 0xff is followed by zero, and the restarts in it.
fn next_marker(file: &mut impl BufRead) -> io::Result<u8> {
    let mut byte = [0];
    loop {
        file.skip_until(0xff)?;
        file.read_exact(&mut byte)?;
        while byte[0] == 0xff {
            file.read_exact(&mut byte)?;
        }
        if !matches!(byte[0], 0 | 0xd0..=0xd7) {
            return Ok(byte[0]);
        }
    }
}

/// Whether a file of so many bytes can hold so many pixels.
pub(super) fn can_hold(bytes: u64, pixels: u64) -> bool {
    pixels <= bytes.saturating_mul(MOST_PIXELS_PER_BYTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = &[0xff, START, 0xff, 0xe0, 0, 4, 0xff, END];
    const SCAN: &[u8] = &[0xff, 0xda, 0, 3, 1, 9, 0xff, 0, 9, 0xff, 0xd3, 9];

    #[test]
    fn the_end_counts_only_behind_the_scans() {
        // A thumbnail in a header has an end of its own.
        let whole = [HEADER, SCAN, SCAN, &[0xff, 0xff, END]].concat();
        assert_eq!(check_whole(&mut whole.as_slice()), Ok(()));
        let followed = [&whole, [0xff, 0xda, 1, 2].as_slice()].concat();
        assert_eq!(check_whole(&mut followed.as_slice()), Ok(()));
        for length in 0..whole.len() {
            let why = check_whole(&mut &whole[..length]).expect_err("cut off");
            assert!(why.starts_with("truncated"), "{length}: {why}");
        }
    }

    #[test]
    fn a_length_below_its_own_size_ends() {
        let odd = [0xff, START, 0xff, 0xe0, 0, 0, 0xff, END];
        assert_eq!(check_whole(&mut odd.as_slice()), Ok(()));
    }

    #[test]
    fn few_bytes_hold_few_pixels() {
        assert!(can_hold(1000, 512_000));
        assert!(!can_hold(1000, 512_001));
        assert!(can_hold(u64::MAX, u64::MAX));
    }
}
