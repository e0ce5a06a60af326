# workerd doing what functions/hello.ts and functions/echo.ts do; bench/subjects.ts says where it listens.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(
    name = "main",
    worker = (modules = [(name = "workerd.js", esModule = embed "workerd.js")], compatibilityDate = "2026-01-01")
  )],
  sockets = [(name = "http", http = (), service = "main")]
);
