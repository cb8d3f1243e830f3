mod notebook;
mod table;
