// Ketcher's packages expect this of Node.js.
window.process = {
  env: { NODE_ENV: "production" },
  versions: {},
  nextTick: (call) => setTimeout(call, 0),
};
