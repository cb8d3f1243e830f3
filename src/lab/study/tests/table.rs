//! One table, three forms.

use serde_json::json;

use crate::lab::study::{Entry, Table};

fn table() -> Table {
    let mut table = Table::new(&["application", "cases", "service", "train_s"]);
    table.row(vec!["chain".into(), 114_usize.into(), Entry::share(1.0), Entry::Number(23.456, 1)]);
    table.row(vec!["a, \"b\"".into(), 7_usize.into(), Entry::Nothing, Entry::Number(f64::NAN, 1)]);
    table
}

#[test]
fn on_a_terminal_words_stand_left_and_numbers_right() {
    let expected = "\
application  cases  service  train_s
chain          114    1.000     23.5
a, \"b\"           7        -      NaN
";
    assert_eq!(table().to_text(), expected);
}

#[test]
fn csv_keeps_all_digits_and_reads_back() {
    let text = table().to_csv().unwrap();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    assert_eq!(reader.headers().unwrap(), vec!["application", "cases", "service", "train_s"]);
    let rows: Vec<Vec<String>> =
        reader.records().map(|r| r.unwrap().iter().map(Into::into).collect()).collect();
    assert_eq!(rows, [vec!["chain", "114", "1", "23.456"], vec!["a, \"b\"", "7", "", ""]]);
}

#[test]
fn json_has_one_object_a_row_and_null_where_there_is_nothing() {
    let expected = json!([
        { "application": "chain", "cases": 114, "service": 1.0, "train_s": 23.456 },
        { "application": "a, \"b\"", "cases": 7, "service": null, "train_s": null },
    ]);
    assert_eq!(table().to_json(), expected);
}
