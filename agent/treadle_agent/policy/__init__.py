"""Pure decisions: objects that take `now` as an argument and return what to do; shells carry it out."""
