import { html } from "../app/lib.js";
import { Empty } from "../app/ui.js";

export default function Page() {
  return html`<${Empty} title="image" />`;
}
