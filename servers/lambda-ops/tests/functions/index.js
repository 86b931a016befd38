// The functions of the contract tests (tests/it/contract.rs), in JavaScript.

exports.handler = async (event) => ({ received: event });

exports.fail = async () => {
  throw new Error("this function fails on every event");
};
