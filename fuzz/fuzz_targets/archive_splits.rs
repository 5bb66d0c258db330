#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| flink_decoder_tests::archive_splits::archive_splits(input));
