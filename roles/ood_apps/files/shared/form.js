// SPDX-License-Identifier: GPL-3.0-or-later
// The largest number that a cluster allows becomes the field's maximum. The portal's own directive for it, data-max-...,
// also changes what was typed.
const name = (field) => document.getElementById(`batch_connect_session_context_${field}`);
const cluster = name("cluster");
const limit = () => {
  for (const [key, most] of Object.entries(cluster.selectedOptions[0]?.dataset ?? {})) {
    const field = key.startsWith("most") && name(key.slice("most".length).toLowerCase());
    if (field) most ? field.setAttribute("max", most) : field.removeAttribute("max");
  }
};
if (cluster?.options) {
  cluster.addEventListener("change", limit);
  limit();
}
