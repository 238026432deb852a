// Looks for a QR code in a picture, away from the page's thread.

import { decodeQR } from "./vendor/qr/decode.js";

onmessage = ({ data: image }) => {
  let text = null;
  try {
    text = decodeQR(image);
  } catch {
    // No code in this picture.
  }
  postMessage(text);
};
