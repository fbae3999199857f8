// Renders openapi.json; nothing is sent anywhere else, and a token is forgotten with the page.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  displayOperationId: false,
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});
