// Ketcher filling its page; the page that frames it finds it as `window.ketcher`.
import { StandaloneStructServiceProvider } from "ketcher-standalone";
import { Editor } from "ketcher-react";
import { createRoot } from "react-dom/client";
import React from "react";
import "ketcher-react/dist/index.css";

createRoot(document.getElementById("editor")).render(
  <Editor
    structServiceProvider={new StandaloneStructServiceProvider()}
    staticResourcesUrl=""
    disableMacromoleculesEditor
    errorHandler={(message) => console.warn(message)}
    onInit={(ketcher) => {
      window.ketcher = ketcher;
      window.dispatchEvent(new Event("ketcher"));
    }}
  />,
);
