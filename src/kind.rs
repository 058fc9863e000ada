//! A kind of picture, told by its content and never by its name.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes from the beginning of a file in which its kind is looked for.
const HEAD: usize = 8 << 10;

/// Sizes that the second header of a BMP file has in its versions; `BM` alone begins many a text.
const BMP_HEADERS: [u32; 7] = [12, 40, 52, 56, 64, 108, 124];

/// One of the kinds of pictures that the bed is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// What names of this kind end with, without the point.
    pub extension: &'static str,
}

impl Kind {
    /// The kind of a file; `None` if it is no picture that the bed is for.
    pub fn of(file: &File) -> io::Result<Option<Self>> {
        let mut head = vec![0; HEAD];
        let mut len = 0;
        while len < HEAD {
            match file.read_at(&mut head[len..], len as u64) {
                Ok(0) => break,
                Ok(read) => len += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self::of_head(&head[..len]))
    }

    /// The kind of a file that begins so.
    pub(crate) fn of_head(head: &[u8]) -> Option<Self> {
        let extension = match infer::get(head).map(|found| found.mime_type()) {
            Some("image/png") => "png",
            Some("image/jpeg") => "jpg",
            Some("image/gif") => "gif",
            Some("image/webp") => "webp",
            Some("image/tiff") => "tiff",
            Some("image/bmp") if is_bmp(head) => "bmp",
            _ if is_svg(head) => "svg",
            _ => return None,
        };
        Some(Self { extension })
    }
}

fn is_bmp(head: &[u8]) -> bool {
    let size = head.get(14..18).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    size.is_some_and(|size| BMP_HEADERS.contains(&size))
}

/// Whether the first element of an XML text is `svg`.
fn is_svg(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The last character may be cut.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        let end = match rest {
            _ if rest.starts_with("<?") => "?>",
            _ if rest.starts_with("<!--") => "-->",
            _ if rest.starts_with("<!DOCTYPE") => match rest.find(['[', '>']) {
                Some(at) if rest[at..].starts_with('[') => "]>",
                _ => ">",
            },
            _ => break,
        };
        match rest.split_once(end) {
            Some((_, after)) => rest = after.trim_start(),
            None => return false,
        }
    }
    let Some(element) = rest.strip_prefix('<') else { return false };
    let name = element.split(|c: char| c.is_whitespace() || matches!(c, '>' | '/')).next();
    let name = name.unwrap_or_default();
    name.rsplit_once(':').map_or(name, |(_, name)| name) == "svg"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(head: &[u8]) -> Option<&'static str> {
        Kind::of_head(head).map(|kind| kind.extension)
    }

    #[test]
    fn pictures_are_told_by_their_beginning() {
        assert_eq!(of(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), Some("png"));
        assert_eq!(of(b"\xff\xd8\xff\xe0\0\x10JFIF"), Some("jpg"));
        assert_eq!(of(b"GIF89a\x01\0"), Some("gif"));
        assert_eq!(of(b"RIFF\x1a\0\0\0WEBPVP8 \0\0\0\0"), Some("webp"));
        assert_eq!(of(b"II*\0\x08\0\0\0\0\0\0\0"), Some("tiff"));
        let mut bmp = b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
        assert_eq!(of(&bmp), Some("bmp"));
        bmp[14] = 0x29;
        assert_eq!(of(&bmp), None);
    }

    #[test]
    fn a_drawing_is_an_xml_text_whose_first_element_is_svg() {
        for text in [
            "<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
            "\u{feff}<?xml version=\"1.0\"?>\n<!-- <html> -->\n<!DOCTYPE svg PUBLIC \"x\" \"y\">\n<svg>",
            "<!DOCTYPE svg [<!ENTITY a \"b\">]><svg:svg xmlns:svg=\"x\">",
        ] {
            assert_eq!(of(text.as_bytes()), Some("svg"), "{text}");
        }
        for text in ["", "<html><svg/></html>", "svg", "<svgx>", "<!-- <svg>", "root:x:0:0:<svg>"] {
            assert_eq!(of(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn text_is_no_picture() {
        for text in ["BMI is a number\nand more of it", "root:x:0:0:root:/root:/bin/bash\n"] {
            assert_eq!(of(text.as_bytes()), None, "{text}");
        }
    }
}
