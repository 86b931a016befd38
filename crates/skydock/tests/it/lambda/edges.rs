//! What goes wrong in Lambda, and what becomes of it.
