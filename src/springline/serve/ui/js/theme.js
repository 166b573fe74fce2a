// Runs before the page is painted, so that the chosen colours never flash.
const theme = localStorage.getItem("springline.theme");
if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
