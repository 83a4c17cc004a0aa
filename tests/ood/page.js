// SPDX-License-Identifier: GPL-3.0-or-later
// What a portal's form does by the directives of a select's options, for tests; after the portal's behaviour, with none of
// its code. "directives" are those that the version knows. They are applied when the page is shown, before anybody typed.
const prefix = "batch_connect_session_context_";
const fieldOf = (rest) => [...document.querySelectorAll(`[id^=${prefix}]:not([id$=_wrapper])`)]
  .filter((field) => rest.startsWith(field.name.replaceAll("_", "-")))
  .sort((one, other) => other.name.length - one.name.length)[0];

// A value that stood at one of the old limits goes to the new one, at the least first; another one is brought between the
// new ones.
const limit = (field, kind, most) => {
  const before = { min: parseInt(field.min), max: parseInt(field.max) };
  field.setAttribute(kind, most);
  const value = parseInt(field.value);
  if (kind === "max" && value === before.min) return;
  if (value === before[kind] || (kind === "max" ? value >= most : value <= most)) field.value = most;
};

const APPLY = {
  max: (field, most) => limit(field, "max", parseInt(most)),
  min: (field, least) => limit(field, "min", parseInt(least)),
  set: (field, value) => {
    if (field.type === "checkbox") field.checked = value === field.value;
    else field.value = value;
  },
  hide: (field, yes) => { document.getElementById(`${field.id}_wrapper`).hidden = yes === "true"; },
  label: (field, text) => { document.querySelector(`label[for=${field.id}]`).textContent = text; },
};

const offer = (select) => {
  for (const option of select.options) {
    const ruled = [...option.attributes].filter(({ name }) => name.startsWith("data-option-for-"));
    option.disabled = ruled.some(({ name, value }) => {
      const rest = name.slice("data-option-for-".length);
      const cause = fieldOf(rest);
      return cause && value === "false" && rest === `${cause.name}-${cause.value}`.replaceAll("_", "-");
    });
  }
  if (select.selectedOptions[0]?.disabled) select.value = [...select.options].find((option) => !option.disabled).value;
};

const apply = (select) => {
  for (const { name, value } of select.selectedOptions[0].attributes) {
    const [, kind, rest] = name.match(/^data-(max|min|set|hide|label)-(.+)$/) ?? [];
    if (directives.includes(kind)) APPLY[kind](fieldOf(rest), value);
  }
};

const selects = [...document.querySelectorAll("select")];
const all = () => selects.forEach((select) => { offer(select); apply(select); });
selects.forEach((select) => select.addEventListener("change", all));
document.addEventListener("DOMContentLoaded", all);
