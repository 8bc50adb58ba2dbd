// Swagger UI over the description of this service, with the samples of each route (x-codeSamples) above its answers.
"use strict";

const Samples = (system) => {
  const React = system.React;
  const element = React.createElement;

  const Shown = ({ samples }) => {
    const [chosen, choose] = React.useState(0);
    const buttons = samples.map((sample, n) =>
      element(
        "button",
        { key: sample.lang, type: "button", "aria-pressed": n === chosen, onClick: () => choose(n) },
        sample.label,
      ),
    );
    const copy = element(
      "button",
      { type: "button", className: "copy", onClick: () => navigator.clipboard.writeText(samples[chosen].source) },
      "Copy",
    );
    return element(
      "section",
      { className: "samples", "aria-label": "Examples" },
      element("h4", null, "Examples"),
      element("div", { className: "choice" }, buttons, copy),
      element("pre", { tabIndex: 0 }, element("code", null, samples[chosen].source)),
    );
  };

  const above = (Original) => (props) => {
    const samples = props.specSelectors.specJson().getIn(["paths", props.path, props.method, "x-codeSamples"]);
    return element(
      React.Fragment,
      null,
      samples ? element(Shown, { samples: samples.toJS() }) : null,
      element(Original, props),
    );
  };

  return { wrapComponents: { responses: above } };
};

window.addEventListener("DOMContentLoaded", () => {
  const place = document.getElementById("swagger-ui");
  window.ui = SwaggerUIBundle({
    url: place.dataset.document,
    domNode: place,
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    filter: true,
    persistAuthorization: false, // a key stays in no browser
    queryConfigEnabled: false, // no other description by a link to this page
    tryItOutEnabled: true,
    validatorUrl: null, // asks no service outside
    plugins: [Samples],
  });
});
