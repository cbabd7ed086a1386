// Pictures that are dropped, pasted or chosen: the API makes a vector of them, which stands for them in the address.
import { api } from "../../app/api.js";

const MOST = 20_000_000; // bytes; in base64 a third more, and the API takes 32 MiB
const SIDE = 96; // pixels of the little picture that is kept in this tab

/** @param {string} value */
const place = (value) => `example ${value.slice(0, 60)}`;

/** The little picture of an uploaded one, if it was uploaded in this tab. @param {string} value of the example @returns {{name: string, picture: string} | null} */
export function preview(value) {
  const kept = sessionStorage.getItem(place(value));
  return kept ? JSON.parse(kept) : null;
}

/**
 * Embed a picture. Nothing of it is stored but its vector, in the address.
 * @param {File} file
 * @returns {Promise<import("./query.js").Example>}
 */
export async function embedded(file) {
  if (file.size > MOST) throw new Error(`${file.name} is larger than 20 MB: make it smaller first.`);
  const data = await base64(file);
  const found = await api.post("/v1/embeddings", { input: [{ data }], encoding_format: "base64" });
  const value = `${found.space}:${found.data[0].embedding}`;
  try {
    sessionStorage.setItem(place(value), JSON.stringify({ name: file.name || "a pasted picture", picture: await small(file) }));
  } catch {
    // Storage is full, or the browser cannot show this format: the chip has no picture then.
  }
  return { kind: "vector", value };
}

/** @param {Blob} file @returns {Promise<string>} */
function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).split(",")[1] ?? "");
    reader.onerror = () => reject(new Error("The browser cannot read this file."));
    reader.readAsDataURL(file);
  });
}

/** @param {Blob} file @returns {Promise<string>} */
async function small(file) {
  const picture = await createImageBitmap(file);
  const scale = Math.min(1, SIDE / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.max(1, picture.width * scale), Math.max(1, picture.height * scale)];
  canvas.getContext("2d")?.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.8);
}

/** The pictures among what is dropped or pasted. @param {DataTransfer | null} given @returns {File[]} */
export function pictures(given) {
  return [...(given?.files ?? [])].filter((file) => file.type.startsWith("image/") || !file.type);
}
