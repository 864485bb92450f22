"use strict";

// Nothing but this server is asked: without `validatorUrl` the document would be sent to an outside validator.
window.addEventListener("load", () => {
  window.SwaggerUIBundle({
    url: "/schema/openapi.json",
    dom_id: "#reference",
    validatorUrl: null,
    deepLinking: true,
    docExpansion: "none",
    defaultModelsExpandDepth: 0,
    displayOperationId: true,
    filter: true,
    requestSnippetsEnabled: true,
    syntaxHighlight: { activated: false },
  });
});
