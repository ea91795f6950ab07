//! The platforms' live pages.

/// A live page in one piece: what all have in common from `pages/shell`, and the platform's own from its
/// folder. Nothing on it comes from elsewhere, so that it works without internet access.
macro_rules! page {
    ($name:literal, $folder:literal) => {
        concat!(
            include_str!("pages/shell/head.html"),
            "<title>",
            $name,
            " live</title>\n<style>\n",
            include_str!("pages/shell/style.css"),
            include_str!(concat!("pages/", $folder, "/view.css")),
            "</style>\n</head>\n<body>\n",
            include_str!("pages/shell/top.html"),
            include_str!(concat!("pages/", $folder, "/icon.svg")),
            "<h1>",
            $name,
            "<span>live events</span></h1>\n",
            include_str!("pages/shell/figures.html"),
            include_str!(concat!("pages/", $folder, "/view.html")),
            include_str!("pages/shell/tools.html"),
            "<script type=\"module\">\n",
            include_str!("pages/shell/elements.js"),
            include_str!(concat!("pages/", $folder, "/platform.js")),
            include_str!(concat!("pages/", $folder, "/summaries.js")),
            include_str!(concat!("pages/", $folder, "/templates.js")),
            include_str!(concat!("pages/", $folder, "/view.js")),
            include_str!("pages/shell/client.js"),
            include_str!("pages/shell/transports.js"),
            include_str!("pages/shell/check.js"),
            include_str!("pages/shell/feed.js"),
            include_str!("pages/shell/plots.js"),
            include_str!("pages/shell/figures.js"),
            include_str!("pages/shell/publisher.js"),
            include_str!("pages/shell/channels.js"),
            include_str!("pages/shell/page.js"),
            include_str!("pages/shell/end.html"),
        )
    };
}
pub(crate) use page;
